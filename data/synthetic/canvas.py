"""A relief to paint on: strokes give it colour and height; light falls on the whole when it is photographed.

So volumes, soft shadows and gleams are not painted: they follow from the height, as they do on a face.

Points are (x, y), x to the right and y down; the chip shows -1..1 and the canvas a little more, for heads that turn.
Heights, widths and blurs are in the same unit. The canvas has two pixels for each of the chip, and antialiased edges.
"""

from typing import Any

import cv2
import numpy as np
from numpy.typing import ArrayLike, NDArray

Array = NDArray[Any]  # float32 in all that follows
Outline = Array  # (m, 2), closed
Outlines = Outline | list[Outline]
Window = tuple[slice, slice]
Pair = tuple[float, float]

SCALE = 200  # pixels per unit
EXTENT = 1.06  # the canvas reaches from -EXTENT to EXTENT
SIDE = round(2 * EXTENT * SCALE)

_STEPS = np.linspace(0, 1, 8, endpoint=False, dtype=np.float32)[:, None]
_CIRCLE = np.linspace(0, 2 * np.pi, 32, endpoint=False, dtype=np.float32)
_SUBPIXEL_BITS = 4


def mirrored(points: ArrayLike) -> Array:
    """Return a line from left to right whose right half is given, from the middle outwards."""
    right = np.asarray(points, np.float32)
    left = right[::-1] * (-1, 1)
    return np.concatenate([left[:-1] if right[0, 0] == 0 else left, right])


def on(side: int, points: ArrayLike) -> Array:
    """Return points of the right half (side 1), or mirrored to the left half (side -1)."""
    return np.asarray(points, np.float32) * (side, 1)


def curve(points: ArrayLike, *, closed: bool = False) -> Array:
    """Return a smooth line (m, 2) through points (n, 2): a Catmull-Rom spline, eight steps from point to point."""
    knots = np.asarray(points, np.float32)
    first, last = (knots[-1:], knots[:2]) if closed else (2 * knots[:1] - knots[1:2], 2 * knots[-1:] - knots[-2:-1])
    knots = np.concatenate([first, knots, last])
    a, b, c, d = (knots[k : len(knots) - 3 + k, None] for k in range(4))
    t = _STEPS
    line = b + t / 2 * (c - a + t * (2 * a - 5 * b + 4 * c - d + t * (3 * (b - c) + d - a)))
    return line.reshape(-1, 2) if closed else np.concatenate([line.reshape(-1, 2), knots[-2:-1]])


def between(upper: ArrayLike, lower: ArrayLike) -> Outline:
    """Return what lies between two smooth lines that run the same way."""
    return np.concatenate([curve(upper), curve(lower)[::-1]])


def stroke(points: ArrayLike, width: float) -> Outline:
    """Return the stroke of a brush along smooth points: `width` in the middle, pointed at both ends."""
    line = curve(points)
    along = np.empty_like(line)
    along[1:-1], along[0], along[-1] = line[2:] - line[:-2], line[1] - line[0], line[-1] - line[-2]
    across = along[:, ::-1] * (-1, 1) / (np.hypot(along[:, :1], along[:, 1:]) + (1e-6))
    half = across * (width / 2 * np.sin(np.linspace(0.15, np.pi - 0.15, len(line), dtype=np.float32)))[:, None]
    return np.concatenate([line + half, (line - half)[::-1]])


def ellipse(centre: Pair, radii: Pair, *, power: float = 2.0) -> Outline:
    """Return an ellipse; with a greater `power` it comes nearer to a rectangle."""
    round_ = np.stack([np.cos(_CIRCLE), np.sin(_CIRCLE)], axis=1)
    return centre + np.sign(round_) * np.abs(round_) ** (2 / power) * radii


class Canvas:
    """What has been painted so far.

    Attributes
    ----------
    colour : ndarray of shape (SIDE, SIDE, 3), float32, sRGB 0..1 in even light.
    height : ndarray of shape (SIDE, SIDE), float32, towards the viewer.
    gloss : ndarray of shape (SIDE, SIDE), float32, 0 dull .. 1 wet.
    x, y : where the pixels are, of shapes (1, SIDE) and (SIDE, 1).
    """

    def __init__(self) -> None:
        self.colour = np.zeros((SIDE, SIDE, 3), np.float32)
        self.height = np.zeros((SIDE, SIDE), np.float32)
        self.gloss = np.zeros((SIDE, SIDE), np.float32)
        axis = (np.arange(SIDE, dtype=np.float32) + 0.5) / SCALE - EXTENT
        self.x, self.y = axis[None, :], axis[:, None]

    def cover(self, outlines: Outlines, *, blur: float = 0.0) -> tuple[Window, Array]:
        """Return the window that outlines touch, and how far (0..1) each of its pixels is inside one of them."""
        shapes = [(shape + EXTENT) * SCALE - 0.5 for shape in (outlines if isinstance(outlines, list) else [outlines])]
        points = np.concatenate(shapes)
        reach = int(3 * blur * SCALE) + 2
        left, top = np.clip(points.min(axis=0).astype(int) - reach, 0, SIDE - 1)
        right, bottom = np.clip(points.max(axis=0).astype(int) + reach + 1, (left + 1, top + 1), SIDE)
        mask = np.zeros((bottom - top, right - left), np.uint8)
        for shape in shapes:
            corners = np.round((shape - (left, top)) * 2**_SUBPIXEL_BITS).astype(np.int32)
            cv2.fillPoly(mask, [corners], 255, cv2.LINE_AA, _SUBPIXEL_BITS)
        if blur:
            mask = cv2.GaussianBlur(mask, (0, 0), blur * SCALE)
        return (slice(top, bottom), slice(left, right)), mask.astype(np.float32) / 255

    def inside(self, outlines: Outlines, *, blur: float = 0.0) -> Array:
        """Return `cover` for the whole canvas, for use as a `clip`."""
        whole = np.zeros((SIDE, SIDE), np.float32)
        window, mask = self.cover(outlines, blur=blur)
        whole[window] = mask
        return whole

    def paint(
        self, outlines: Outlines, colour: ArrayLike, alpha: float = 1.0, *, blur: float = 0.0, clip: Array | None = None
    ) -> None:
        """Lay a colour over what is inside outlines, and inside the mask `clip` of the whole canvas, if given."""
        window, mask = self.cover(outlines, blur=blur)
        self.tint(window, mask * alpha, colour, clip=clip)

    def glow(self, centre: Pair, radii: Pair, colour: ArrayLike, alpha: float, *, clip: Array | None = None) -> None:
        """Lay on a colour that fades like a bell curve; `radii` are its standard deviations."""
        window, bell = self._bell(centre, radii)
        self.tint(window, bell * alpha, colour, clip=clip)

    def tint(self, window: Window, mask: Array, colour: ArrayLike, *, clip: Array | None = None) -> None:
        """Mix a colour, or one for each pixel, into a window by a mask of its shape."""
        if clip is not None:
            mask = mask * clip[window]
        part = self.colour[window]
        part += mask[..., None] * (np.asarray(colour, np.float32) - part)

    def emboss(self, outlines: Outlines, height: float, *, blur: float) -> None:
        """Raise what is inside outlines, or sink it with a height below 0."""
        window, mask = self.cover(outlines, blur=blur)
        self.height[window] += mask * height

    def bump(self, centre: Pair, radii: Pair, height: float) -> None:
        """Raise the surface like a bell curve, or sink it; `radii` are its standard deviations."""
        window, bell = self._bell(centre, radii)
        self.height[window] += bell * height

    def wet(self, outlines: Outlines, gloss: float, *, blur: float) -> None:
        """Make what is inside outlines gleam."""
        window, mask = self.cover(outlines, blur=blur)
        self.gloss[window] += mask * (gloss - self.gloss[window])

    def mass(self, outline: Outline, colour: ArrayLike, *, level: float, depth: float, bevel: float) -> None:
        """Put a rounded body of one colour before what is there; see `raise_body`."""
        window, mask = self.cover(outline)
        self.raise_body(window, mask, level=level, depth=depth, bevel=bevel)
        self.tint(window, mask, colour)

    def raise_body(self, window: Window, mask: Array, *, level: float, depth: float, bevel: float) -> None:
        """Replace the height inside a mask by a dull rounded body.

        Parameters
        ----------
        window, mask : as `cover` gives them.
        level : the height of the body's edge.
        depth : how far its middle stands out from its edge.
        bevel : how far from its edge it is still curved.
        """
        solid = (mask > 0.5).astype(np.uint8)
        inward = cv2.distanceTransform(solid, cv2.DIST_L2, 5) / (SCALE * bevel)
        dome = np.sqrt(1 - (1 - np.minimum(inward, 1)) ** 2)
        dome = cv2.blur(cv2.blur(dome, (15, 15)), (15, 15))
        part = self.height[window]
        part += mask * (level + depth * dome - part)
        self.gloss[window] *= 1 - mask

    def _bell(self, centre: Pair, radii: Pair) -> tuple[Window, Array]:
        """Return the window in which a bell curve is felt, and the curve in it."""
        (left, right), (top, bottom) = (
            np.clip(((c - 3 * r + EXTENT) * SCALE, (c + 3 * r + EXTENT) * SCALE), 0, SIDE).astype(int)
            for c, r in zip(centre, radii, strict=True)
        )
        columns = np.exp(-0.5 * ((self.x[:, left:right] - centre[0]) / radii[0]) ** 2)
        rows = np.exp(-0.5 * ((self.y[top:bottom] - centre[1]) / radii[1]) ** 2)
        return (slice(top, bottom), slice(left, right)), rows * columns
