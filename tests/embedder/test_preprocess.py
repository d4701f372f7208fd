import contextlib
import io
import os

import cv2
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from data.remote import place
from embedder import preprocess
from embedder.preprocess import (
    MIN_SIDE,
    NORMALIZATIONS,
    ImageRejected,
    central,
    decode,
    letterbox,
    letterbox_gray_lanczos,
    normalize,
    padded,
    read_file,
)

LEFT, RIGHT = (200, 30, 40), (20, 60, 220)  # told apart after any mild compression


def two_halves(width: int = 64, height: int = 48) -> np.ndarray:
    picture = np.empty((height, width, 3), np.uint8)
    picture[:, : width // 2], picture[:, width // 2 :] = LEFT, RIGHT
    return picture


def encode(image: Image.Image, image_format: str, **options) -> bytes:
    buffer = io.BytesIO()
    image.save(buffer, image_format, **options)
    return buffer.getvalue()


def assert_two_halves(picture: np.ndarray, *, tolerance: int = 12) -> None:
    assert picture.dtype == np.uint8
    assert picture.shape[2] == 3
    middle = picture.shape[0] // 2
    assert np.abs(picture[middle, 8].astype(int) - LEFT).max() <= tolerance
    assert np.abs(picture[middle, -8].astype(int) - RIGHT).max() <= tolerance


@pytest.mark.parametrize("image_format", ["JPEG", "PNG", "WEBP", "BMP", "TIFF"])
def test_common_formats_decode_to_rgb(image_format):
    picture = decode(encode(Image.fromarray(two_halves()), image_format))
    assert picture.shape == (48, 64, 3)
    assert_two_halves(picture)


def test_sixteen_bit_png_is_scaled_not_clipped():
    _, content = cv2.imencode(".png", np.full((32, 32), 128 * 257, np.uint16))
    assert np.unique(decode(content.tobytes())).tolist() == [128]


def test_one_bit_png_is_black_and_white():
    bits = Image.fromarray(np.tile([[0, 255]], (32, 16)).astype(np.uint8)).convert("1")
    assert np.unique(decode(encode(bits, "PNG"))).tolist() == [0, 255]


def test_alpha_is_ignored():
    rgba = np.dstack([two_halves(), np.full((48, 64), 7, np.uint8)])
    assert_two_halves(decode(encode(Image.fromarray(rgba, "RGBA"), "PNG")), tolerance=0)


def test_palette_gif_decodes_to_its_first_frame():
    first, second = Image.fromarray(two_halves()), Image.new("RGB", (64, 48), (0, 255, 0))
    assert_two_halves(decode(encode(first, "GIF", save_all=True, append_images=[second])))


def test_animated_webp_decodes_to_its_first_frame():
    first, second = Image.fromarray(two_halves()), Image.new("RGB", (64, 48), (0, 255, 0))
    content = encode(first, "WEBP", save_all=True, append_images=[second], lossless=True)
    assert_two_halves(decode(content))


def test_cmyk_jpeg_is_converted():
    picture = decode(encode(Image.fromarray(two_halves()).convert("CMYK"), "JPEG", quality=95))
    assert_two_halves(picture, tolerance=30)


@pytest.mark.parametrize("orientation", range(1, 9))
def test_exif_orientation_is_applied(orientation):
    undo = {2: 0, 3: 3, 4: 1, 5: 5, 6: 2, 7: 6, 8: 4}  # Pillow's transposition that a camera would have recorded so
    stored = Image.fromarray(two_halves())
    if orientation > 1:
        stored = stored.transpose(Image.Transpose(undo[orientation]))
    exif = Image.Exif()
    exif[0x0112] = orientation
    picture = decode(encode(stored, "JPEG", exif=exif, quality=95))
    assert picture.shape == (48, 64, 3)
    assert_two_halves(picture)


@pytest.mark.parametrize("share", [0.3, 0.6, 0.95])
def test_truncated_jpeg_is_unreadable_not_half_grey(share):
    noise = np.random.default_rng(0).integers(0, 256, (200, 200, 3), np.uint8)
    content = encode(Image.fromarray(noise), "JPEG")
    with pytest.raises(ImageRejected, match="truncated") as rejected:
        decode(content[: int(len(content) * share)])
    assert rejected.value.status == "unreadable"


@pytest.mark.parametrize(
    ("content", "reason"), [(b"", "empty file"), (b"GIF", "not an image"), (b"hello\n" * 99, "not an")]
)
def test_what_is_no_image_is_unreadable_with_a_reason(content, reason):
    with pytest.raises(ImageRejected, match=reason) as rejected:
        decode(content)
    assert rejected.value.status == "unreadable"


@given(
    st.binary(max_size=300),
    st.sampled_from([b"", b"\xff\xd8\xff\xe0", b"\x89PNG\r\n\x1a\n", b"GIF89a", b"RIFF", b"BM"]),
)
def test_arbitrary_bytes_never_crash(tail, magic):
    with contextlib.suppress(ImageRejected):
        assert decode(magic + tail).shape[2] == 3


def test_one_pixel_is_too_small():
    with pytest.raises(ImageRejected, match="1 x 1") as rejected:
        decode(encode(Image.new("RGB", (1, 1)), "PNG"))
    assert rejected.value.status == "too_small"


def test_smallest_picture_is_accepted():
    assert decode(encode(Image.new("RGB", (MIN_SIDE, MIN_SIDE)), "PNG")).shape == (MIN_SIDE, MIN_SIDE, 3)


def test_hundred_megapixels_are_decoded():
    picture = decode(encode(Image.new("L", (10_000, 10_000), 90), "JPEG"))
    assert picture.shape == (10_000, 10_000, 3)


def test_decompression_bomb_is_refused_by_its_header():
    with pytest.raises(ImageRejected, match="megapixels") as rejected:
        decode(encode(Image.new("1", (20_000, 20_000)), "PNG"))
    assert rejected.value.status == "too_large"


@given(st.integers(1, 80), st.integers(1, 80))
def test_letterbox_keeps_proportions_on_black(height, width):
    boxed = letterbox(np.full((height, width, 3), 255, np.uint8), (32, 32))
    assert boxed.shape == (32, 32, 3)
    inside = boxed[:, :, 0] > 0
    rows, columns = inside.any(axis=1).sum(), inside.any(axis=0).sum()
    assert max(rows, columns) >= 31  # deepface rounds down, and parity with it is wanted
    assert abs(rows / columns - height / width) * columns <= 2 + 2 * height / width


@given(st.integers(16, 60), st.integers(16, 60), st.integers(100, 150))
def test_crop_above_a_hundred_percent_is_the_whole_picture_amid_black(height, width, percent):
    picture = np.full((height, width, 3), 200, np.uint8)
    seen = central(picture, percent / 100)
    assert seen.shape == (round(height * percent / 100), round(width * percent / 100), 3)
    rows, columns = np.flatnonzero(seen.any(axis=(1, 2))), np.flatnonzero(seen.any(axis=(0, 2)))
    assert (len(rows), len(columns)) == (height, width)
    for side, found in zip(seen.shape[:2], (rows, columns), strict=True):
        assert abs(found[0] - (side - 1 - found[-1])) <= 1
    assert np.array_equal(seen[rows[0] : rows[-1] + 1, columns[0] : columns[-1] + 1], picture)


def test_gray_lanczos_gives_one_channel():
    gray = letterbox_gray_lanczos(two_halves(64, 64), (128, 128))
    assert gray.shape == (128, 128)
    weights = np.array([0.299, 0.587, 0.114])
    assert gray[64, 10] == pytest.approx(weights @ LEFT, abs=2)
    assert gray[64, -10] == pytest.approx(weights @ RIGHT, abs=2)


@pytest.mark.parametrize(
    ("normalization", "black", "white"),
    [("raw", 0, 255), ("base", 0, 1), ("ArcFace", -127.5 / 128, 127.5 / 128), ("Facenet2018", -1, 1)],
)
def test_normalizations_map_black_and_white(normalization, black, white):
    faces = np.array([0, 255], np.uint8).repeat(3).reshape(1, 1, 2, 3)
    values = normalize(faces, normalization=normalization, channel_order="RGB", layout="NHWC")
    assert values.dtype == np.float32
    np.testing.assert_allclose(values[0, 0, :, 0], [black, white], rtol=1e-6)


def test_channel_order_and_layout_are_what_the_graph_wants():
    faces = np.array([10, 20, 30], np.uint8).reshape(1, 1, 1, 3)
    bgr = normalize(faces, normalization="raw", channel_order="BGR", layout="NCHW")
    assert bgr.shape == (1, 3, 1, 1)
    assert bgr.ravel().tolist() == [30, 20, 10]
    assert bgr.flags.c_contiguous


def test_missing_file_is_told_from_an_unreadable_one(tmp_path):
    with pytest.raises(ImageRejected) as missing:
        read_file(tmp_path / "nothing.jpg")
    assert missing.value.status == "missing"
    with pytest.raises(ImageRejected, match="directory") as folder:
        read_file(tmp_path)
    assert folder.value.status == "unreadable"


def test_pipe_is_unreadable_and_not_waited_for(tmp_path):
    os.mkfifo(tmp_path / "pipe.jpg")
    with pytest.raises(ImageRejected, match="not a regular file") as pipe:
        read_file(tmp_path / "pipe.jpg")
    assert pipe.value.status == "unreadable"


def test_object_is_read_with_size_and_time(bucket):
    path = place(bucket) / "a b#%41+é.jpg"
    path.write_bytes(b"content")
    status, content = read_file(str(path))
    (listed,) = place(bucket).listing(recursive=False)
    assert (status, content) == (listed.status, b"content")


def test_object_that_cannot_be_read_has_a_status(bucket, monkeypatch):
    (place(bucket) / "large.jpg").write_bytes(bytes(11))
    monkeypatch.setattr(preprocess, "MAX_BYTES", 10)
    for name, status in {"nothing.jpg": "missing", "large.jpg": "too_large", "a//b.jpg": "unreadable"}.items():
        with pytest.raises(ImageRejected) as rejected:
            read_file(f"{bucket}/{name}")
        assert rejected.value.status == status
    monkeypatch.setattr("data.remote.RETRIES", 1)
    monkeypatch.setenv("AWS_ENDPOINT_URL", "http://127.0.0.1:1")
    with pytest.raises(ImageRejected, match=r"^s3://[^\n]*large.jpg cannot be read; [^\n]*connect[^\n]*$") as dead:
        read_file(f"{bucket}/large.jpg")
    assert dead.value.status == "unreadable"


def test_means_follow_their_colours():
    red, green, blue = 129.1863, 104.7624, 93.5940
    faces = np.array([10, 20, 30], np.uint8).reshape(1, 1, 1, 3)
    rgb = normalize(faces, normalization="VGGFace", channel_order="RGB", layout="NCHW")
    bgr = normalize(faces, normalization="VGGFace", channel_order="BGR", layout="NHWC")
    np.testing.assert_allclose(rgb.ravel(), [10 - red, 20 - green, 30 - blue], rtol=1e-5)
    np.testing.assert_allclose(bgr.ravel(), [30 - blue, 20 - green, 10 - red], rtol=1e-5)


def test_facenet_measures_each_picture_by_itself():
    faces = np.random.default_rng(0).integers(0, 256, (3, 8, 9, 3), np.uint8)
    faces[1] //= 4  # darker, with less contrast
    values = normalize(faces, normalization="Facenet", channel_order="BGR", layout="NHWC")
    np.testing.assert_allclose(values.mean(axis=(1, 2, 3)), 0, atol=1e-6)
    np.testing.assert_allclose(values.std(axis=(1, 2, 3)), 1, rtol=1e-5)
    alone = normalize(faces[1:2], normalization="Facenet", channel_order="BGR", layout="NHWC")
    np.testing.assert_array_equal(values[1:2], alone)


def test_facenet_makes_a_flat_picture_zero():
    flat = np.full((1, 8, 8, 3), 200, np.uint8)
    assert np.all(normalize(flat, normalization="Facenet", channel_order="RGB", layout="NHWC") == 0)


@given(st.sampled_from([*NORMALIZATIONS]), st.sampled_from(["RGB", "BGR"]))
def test_layout_moves_values_and_changes_none(normalization, channel_order):
    faces = np.random.default_rng(0).integers(0, 256, (2, 6, 4, 3), np.uint8)
    options = {"normalization": normalization, "channel_order": channel_order}
    last, first = (normalize(faces, layout=layout, **options) for layout in ("NHWC", "NCHW"))
    np.testing.assert_allclose(first.transpose(0, 2, 3, 1), last, rtol=1e-5, atol=1e-5)
    assert last.flags.c_contiguous
    assert first.flags.c_contiguous


def test_padding_repeats_the_last_face_and_leaves_a_full_batch_alone():
    faces = np.arange(6, dtype=np.uint8).reshape(2, 1, 1, 3)
    assert padded(faces, 4)[:, 0, 0, 0].tolist() == [0, 3, 3, 3]
    assert padded(faces, 2) is faces
