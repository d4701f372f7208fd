"""dlib's 68 landmarks, on boxes of any detector and faces of any size."""

import cv2
import numpy as np
import pytest

from data.synthetic import draw_faces
from embedder.faces.detectors.dlib import HOG_THRESHOLD, Hog, landmarks_68
from embedder.faces.face import five_points
from embedder.preprocess import decode


@pytest.fixture
def face(utkface_dir):
    """Return a chip and the box that HOG finds in it."""
    path = sorted(utkface_dir.glob("30_0_0_*.jpg"))[0]
    return decode(path.read_bytes()), (20.0, 30.0, 180.0, 190.0)


def off(points, expected):
    """Return the mean distance of the five points, in distances of the eyes."""
    points, expected = five_points(points), five_points(expected)
    return np.linalg.norm(points - expected, axis=1).mean() / np.linalg.norm(expected[1] - expected[0])


def test_the_eyes_are_where_they_are_in_every_chip(face):
    points = five_points(landmarks_68(*face))
    assert points[:2] == pytest.approx(np.array([[59, 60], [138, 60]]), abs=8)
    assert points[0, 0] < points[2, 0] < points[1, 0]
    assert points[3:, 1].min() > points[2, 1] > points[:2, 1].max()


def test_noise_in_a_large_face_does_not_move_its_landmarks(face):
    picture, box = face
    large = cv2.resize(picture, None, fx=6, fy=6, interpolation=cv2.INTER_CUBIC)
    noisy = np.clip(large + np.random.default_rng(0).normal(0, 30, large.shape), 0, 255).astype(np.uint8)
    points = landmarks_68(noisy, tuple(6 * edge for edge in box))
    assert off((points + 0.5) / 6 - 0.5, landmarks_68(picture, box)) < 0.03


def test_a_box_of_other_proportions_gives_the_same_landmarks(face):
    picture, (left, top, right, bottom) = face
    as_networks_draw = (left + 16, top - 16, right - 16, bottom + 16)
    assert off(landmarks_68(picture, as_networks_draw), landmarks_68(picture, face[1])) < 0.03


def test_landmarks_are_the_same_wherever_the_face_is(face):
    picture, box = face
    around = cv2.copyMakeBorder(picture, 400, 300, 250, 50, cv2.BORDER_REPLICATE)
    moved = np.array([250, 400], np.float32)
    points = landmarks_68(around, tuple(np.add(box, [*moved, *moved])))
    assert off(points - moved, landmarks_68(picture, box)) < 0.03


@pytest.mark.parametrize(
    "box", [(-150.0, -150.0, 20.0, 20.0), (190.0, 0.0, 400.0, 210.0), (300.0, 300.0, 310.0, 310.0)]
)
def test_a_box_beyond_the_picture_gives_finite_landmarks(face, box):
    points = landmarks_68(face[0], box)
    assert points.shape == (68, 2)
    assert np.isfinite(points).all()


def test_hog_gives_faces_a_little_below_its_own_threshold(tmp_path):
    draw_faces(tmp_path, 1)
    chip = decode(next(tmp_path.iterdir()).read_bytes())
    detector, scores = Hog(), []
    for degrees in np.arange(48, 60, 0.5):  # the more it is turned, the less it is a face to HOG
        turn = cv2.getRotationMatrix2D((99.5, 99.5), degrees, 1)
        turned = cv2.warpAffine(chip, turn, (200, 200), borderMode=cv2.BORDER_REPLICATE)
        scores += [found.confidence for found in detector.find(turned)]
    assert max(scores) > 0.3
    assert HOG_THRESHOLD <= min(scores) < 0
