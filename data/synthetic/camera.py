"""How a canvas becomes a picture: light, pose, lens and sensor."""

import math
from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

from data.synthetic.canvas import EXTENT, SCALE, SIDE, Array, Canvas
from data.synthetic.traits import Colour, Rng, mix

CHIP = 200  # pixels on a side
_STEEPEST = 2.5  # slope that is still lit by its angle: outlines, where one body stands before another, are steeper
_SHADOW_STEPS = (0.03, 0.06, 0.10, 0.15, 0.21, 0.28)  # how far towards the light, in units
_WIDEST_YAW = 0.22  # beyond it, hair that is shifted by its depth tears
_SKY = (0.96, 0.98, 1.06)


@dataclass(frozen=True)
class Scene:
    """The circumstances of a picture.

    Attributes
    ----------
    light : x, y, z of the direction from which the light comes.
    key, fill : how strong the light and the sky around it are.
    softness : 0 a bare bulb .. 1 a large window.
    warmth : the light's colour.
    background : two colours that run into each other.
    yaw, nod, roll : how the head is turned, in radians or nearly so.
    zoom : half the width of what is seen, in units of the canvas.
    exposure : factor.
    blur : of the lens, in pixels of the chip.
    noise : of the sensor, standard deviation in 0..255.
    """

    light: tuple[float, float, float]
    key: float
    fill: float
    softness: float
    warmth: Colour
    background: tuple[Colour, Colour]
    yaw: float
    nod: float
    roll: float
    zoom: float
    exposure: float
    blur: float
    noise: float


def draw_scene(rng: Rng) -> Scene:
    """Draw the circumstances of a picture."""
    warm = rng.normal(0, 0.035)
    wall = mix(np.full(3, rng.uniform(0.2, 0.85)), rng.random(3), 0.28)
    return Scene(
        light=(math.sin(rng.normal(0, 0.55)), -rng.uniform(0.15, 0.75), 1.0),
        key=rng.uniform(0.80, 1.02),
        fill=rng.uniform(0.24, 0.40),
        softness=rng.uniform(0.25, 0.8),
        warmth=(1.03 + warm, 1.0, 0.95 - warm),
        background=(wall, mix(wall, np.full(3, rng.uniform(0, 1)), 0.35)),
        yaw=min(max(rng.normal(0, 0.11), -_WIDEST_YAW), _WIDEST_YAW),
        nod=rng.normal(0, 0.06),
        roll=rng.normal(0, 0.055),
        zoom=rng.uniform(0.92, 1.0),
        exposure=rng.uniform(0.94, 1.05),
        blur=max(0.0, rng.uniform(-0.6, 0.9)),
        noise=rng.uniform(0.5, 3.5),
    )


def photograph(canvas: Canvas, scene: Scene, rng: Rng) -> NDArray[np.uint8]:
    """Light a canvas, turn the head and take its picture: ndarray of shape (CHIP, CHIP, 3), uint8, RGB."""
    chip = cv2.resize(_turn(_light(canvas, scene), canvas.height, scene), (CHIP, CHIP), interpolation=cv2.INTER_AREA)
    if scene.blur:
        chip = cv2.GaussianBlur(chip, (0, 0), scene.blur)
    grain = rng.standard_normal(chip.shape, np.float32)
    chip = 255 * scene.exposure * chip + scene.noise * grain
    return np.clip(np.round(chip), 0, 255).astype(np.uint8)


def _light(canvas: Canvas, scene: Scene) -> Array:
    """Light a canvas by Lambert's law, a sky and gleams: (SIDE, SIDE, 3) float32, sRGB, mostly 0..1."""
    towards = np.asarray(scene.light, np.float32)
    towards /= np.linalg.norm(towards)
    half = towards.copy()  # between the light and the viewer: what faces there gleams
    half[2] += 1
    half /= np.linalg.norm(half)
    height = cv2.GaussianBlur(canvas.height, (0, 0), 1.0)
    right = np.clip(cv2.Sobel(height, cv2.CV_32F, 1, 0, scale=SCALE / 8), -_STEEPEST, _STEEPEST)
    down = np.clip(cv2.Sobel(height, cv2.CV_32F, 0, 1, scale=SCALE / 8), -_STEEPEST, _STEEPEST)
    facing = 1 / np.sqrt(1 + right * right + down * down)  # z of the unit normal
    lambert = facing * (towards[2] - right * towards[0] - down * towards[1])
    soft = scene.softness
    key = np.maximum((lambert + soft) / (1 + soft), 0)
    key *= scene.key * (1 - (1 - 0.6 * soft) * _shadow(height, towards))
    sky = scene.fill * (0.75 + 0.2 * facing * (1 - down)) * _openness(height)
    gleam = np.maximum(facing * (half[2] - right * half[0] - down * half[1]), 0)
    shine = 0.5 * scene.key * canvas.gloss * cv2.pow(gleam, 24)
    planes = []
    for plane, warmth, cold in zip(cv2.split(canvas.colour), scene.warmth, _SKY, strict=True):
        linear = plane * plane * (key * warmth + sky * cold)  # sRGB is near enough to a square
        planes.append(np.sqrt(linear + shine))
    return cv2.merge(planes)


def _shadow(height: Array, towards: Array) -> Array:
    """Return how far (0..1) each point is in the shadow of what stands between it and the light."""
    small = cv2.resize(height, None, fx=0.5, fy=0.5, interpolation=cv2.INTER_AREA)
    blocked = np.zeros_like(small)
    for step in _SHADOW_STEPS:
        x, y = -step * SCALE / 2 * towards[:2]
        shift = np.array([[1, 0, x], [0, 1, y]], np.float32)
        nearer = cv2.warpAffine(small, shift, small.shape[::-1], borderMode=cv2.BORDER_REPLICATE)
        np.maximum(blocked, (nearer - small - step * towards[2]) / (0.04 + step), out=blocked)
    soft = cv2.GaussianBlur(np.minimum(2.5 * blocked, 1), (0, 0), 2.5)
    return cv2.resize(soft, height.shape[::-1], interpolation=cv2.INTER_LINEAR)


def _openness(height: Array) -> Array:
    """Return how much of the sky each point sees: less in hollows, little in folds."""
    small = cv2.resize(height, None, fx=0.5, fy=0.5, interpolation=cv2.INTER_AREA)
    smaller = cv2.resize(small, None, fx=0.5, fy=0.5, interpolation=cv2.INTER_AREA)
    hollow = cv2.resize(cv2.GaussianBlur(smaller, (0, 0), 4) - smaller, small.shape[::-1])
    fold = cv2.GaussianBlur(small, (0, 0), 1.5) - small
    return cv2.resize(np.clip(1 - 2 * hollow - 9 * fold, 0.35, 1.25), height.shape[::-1])


def _turn(picture: Array, height: Array, scene: Scene) -> Array:
    """Turn the head: each point is shifted by its depth, so a nose moves further than the cheeks behind it.

    Returns
    -------
    ndarray of shape (2 * CHIP, 2 * CHIP, 3), float32 : what the camera sees.
    """
    depth = cv2.resize(height, (SIDE // 4, SIDE // 4), interpolation=cv2.INTER_AREA)
    depth = cv2.resize(cv2.GaussianBlur(depth, (0, 0), 5), (SIDE, SIDE), interpolation=cv2.INTER_LINEAR)
    axis = ((np.arange(2 * CHIP, dtype=np.float32) + 0.5) / CHIP - 1) * scene.zoom
    x, y = axis[None, :], axis[:, None]
    cos, sin = math.cos(scene.roll), math.sin(scene.roll)
    columns = (cos * x + sin * y + EXTENT) * SCALE - 0.5
    rows = (cos * y - sin * x + EXTENT) * SCALE - 0.5
    ahead = cv2.remap(depth, columns, rows, cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE) - 0.25
    columns -= ahead * (scene.yaw * SCALE)
    rows -= ahead * (scene.nod * SCALE)
    return cv2.remap(picture, columns, rows, cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE)
