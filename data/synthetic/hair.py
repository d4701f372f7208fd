"""Hair: behind the face, around it and on it."""

import cv2
import numpy as np

from data.synthetic.canvas import SIDE, Array, Canvas, Outline, Window, between, curve, mirrored, on
from data.synthetic.features import SIDES, darker, outline
from data.synthetic.traits import Hair, Person, Rng, mix

_LOOSE = ("long", "bob", "perm")  # styles that hang behind the face as well
_EDGE = 0.018  # how soft the outline is in which the strands end


def strands(canvas: Canvas, person: Person, rng: Rng) -> Array:
    """Return streaks that flow from the parting, or curls: (SIDE, SIDE) float32, about -2..2."""
    h, f = person.hair, person.form
    combed = h.style in ("long", "bob", "up", "pigtails") and not h.fringe
    start = h.hairline - 0.06 if combed else f.top - 0.06
    x, y = canvas.x[:, ::2] - 0.5 * h.part, canvas.y[::2] - start
    down = np.maximum(y, 0)
    radius = np.sqrt(x * x + down * down)
    angle = np.where(y > 0, np.arctan2(x, down), np.sign(x) * (np.pi / 2 - 1.6 * np.minimum(y, 0)))
    wave = 0.10 * h.curl * np.sin(radius * (12 + 8 * h.curl) + 3 * np.sin(5 * angle)) / (0.4 + radius)
    columns = (0.9 / np.pi * (angle + wave) + 1.5) * 220
    rows = radius * (1.5 + 4 * h.curl)
    noise = rng.standard_normal((16, 700), np.float32)
    texture = 0.6 * _look_up(noise, columns, rows) + 0.7 * _look_up(noise, 0.22 * columns, 0.5 * rows)
    texture *= np.clip(4 * cv2.resize(radius, (SIDE, SIDE)), 0, 1)  # calm where all strands meet
    tight = float(np.clip(3 * (h.curl - 0.6), 0, 1))
    if tight:
        curls = 9 * cv2.GaussianBlur(rng.standard_normal((SIDE // 2, SIDE // 2), np.float32), (0, 0), 3.2)
        texture += tight * (cv2.resize(curls, (SIDE, SIDE)) - texture)
    return texture


def _look_up(noise: Array, columns: Array, rows: Array) -> Array:
    """Sample noise at coordinates that are given for every second pixel."""
    columns, rows = cv2.resize(columns, (SIDE, SIDE)), cv2.resize(rows, (SIDE, SIDE))
    return cv2.remap(noise, columns, rows, cv2.INTER_LINEAR, borderMode=cv2.BORDER_REFLECT)


def behind(canvas: Canvas, person: Person, texture: Array) -> None:
    """Put the hair that is seen behind neck and face."""
    f, hair = person.form, person.hair
    if hair.style in _LOOSE:
        _lock(canvas, hair, canvas.cover(_contour(person), blur=_EDGE), texture, -0.38)
    elif hair.style == "up":
        bun = curve(mirrored([(0, f.top - 0.30), (0.25, f.top - 0.19), (0.2, f.top)]), closed=True)
        _lock(canvas, hair, canvas.cover(bun, blur=_EDGE), texture, -0.35)
    elif hair.style == "pigtails":
        x = f.width
        tail = [(0.9 * x, f.eye_y), (x + 0.22, f.eye_y + 0.02), (x + 0.30, f.mouth_y), (x + 0.16, f.chin + 0.12)]
        for side in SIDES:
            tuft = curve(on(side, [*tail, (x + 0.03, f.mouth_y)]), closed=True)
            _lock(canvas, hair, canvas.cover(tuft, blur=_EDGE), texture, -0.3)


def around(canvas: Canvas, person: Person, texture: Array) -> None:
    """Put the hair on the head, leaving a window for the face."""
    f, w = person.form, person.form.width
    if person.hair.style == "fuzz":
        cap = mirrored([(0, f.top - 0.03), (0.85 * w, f.top + 0.14), (w, f.eye_y - 0.22)])
        edge = mirrored([(0, f.top + 0.20), (0.75 * w, f.top + 0.42)])
        _fuzz(canvas, person, np.concatenate([curve(cap), edge[::-1]]), texture, blur=0.05)
    elif person.hair.style == "bald":
        e = f.eye_y
        patch = [(0.90, e - 0.40), (1.02, e - 0.36), (1.05, e - 0.05), (0.98, e + 0.06), (0.91, e - 0.1)]
        for side in SIDES:
            _fuzz(canvas, person, curve(on(side, patch) * (w, 1), closed=True), texture, blur=0.022)
    else:
        window, soft = canvas.cover(_contour(person), blur=_EDGE)
        soft = soft * (1 - canvas.inside(_face_window(person), blur=_EDGE)[window])
        _lock(canvas, person.hair, (window, soft), texture, 0.0)


def _contour(person: Person) -> Outline:
    """Return the silhouette of the hair."""
    f, v, w = person.form, person.hair.volume, person.form.width
    crown, e = [(0, f.top - 0.9 * v), (0.48 * w, f.top - 0.75 * v + 0.04)], f.eye_y
    sides = {
        "long": [(w + 0.9 * v, f.top + 0.28), (w + 1.4 * v, e + 0.1), (w + 1.6 * v, f.chin), (w + 1.2 * v, 1.3)],
        "bob": [(w + v, f.top + 0.28), (w + 1.6 * v, e + 0.15), (w + 1.5 * v, f.mouth_y), (0.8 * w, f.chin + 0.05)],
        "perm": [(w + 1.2 * v, f.top + 0.24), (w + 1.8 * v, e), (w + 1.3 * v, e + 0.3), (0.8 * w, f.mouth_y)],
    }
    short = [(0.83 * w + 0.5 * v, f.top + 0.17), (w + 0.5 * v, f.top + 0.43), (w + 0.3 * v, e - 0.1), (w, e)]
    return curve(mirrored(crown + sides.get(person.hair.style, short)), closed=True)


def _face_window(person: Person) -> Outline:
    """Return the opening through which the face looks: the hairline above, what the style leaves free below."""
    f, h, w, e = person.form, person.hair, person.form.width, person.form.eye_y
    if h.fringe:
        line = min(h.hairline + 0.2, e - f.brow_gap - 0.06)
        top = [(0, line), (0.42 * w, line + 0.01), (0.76 * w, line + 0.03)]
    else:
        line, back = h.hairline, h.recession
        top = [(0, line - 0.12 * back), (0.42 * w, line - 0.34 * back), (0.74 * w, line + 0.10 - 0.28 * back)]
    sides = {
        "long": [(0.88 * w, e - 0.12), (0.90 * w, e + 0.2), (0.88 * w, f.mouth_y), (0.75 * w, f.chin), (0.7 * w, 1.4)],
        "bob": [(0.88 * w, e - 0.12), (0.90 * w, e + 0.2), (0.95 * w, f.mouth_y), (0.8 * w, f.chin + 0.2)],
        "perm": [(0.90 * w, e - 0.12), (0.95 * w, e + 0.1), (1.05 * w, e + 0.35), (1.1 * w, f.chin)],
        "up": [(0.91 * w, e - 0.25), (0.96 * w, e - 0.1), (1.3 * w, e - 0.06), (1.3 * w, f.chin)],
    }
    cropped = [(0.90 * w, e - 0.2), (0.92 * w, e - 0.02), (1.3 * w, e + 0.02), (1.3 * w, f.chin)]
    points = mirrored(top + sides.get(h.style, cropped))
    skew = np.where((np.abs(points[:, 0]) < 0.75 * w) & (points[:, 1] < e), 0.06 if h.fringe else 0.25, 0)
    points[:, 1] -= skew * h.part * points[:, 0]  # higher where the hair is parted
    return curve(points, closed=True)


def _lock(canvas: Canvas, hair: Hair, cover: tuple[Window, Array], texture: Array, level: float) -> None:
    """Put a body of hair before what is there, its edge broken up by the strands."""
    window, soft = cover
    grain = texture[window]
    mask = np.clip((soft - 0.5 + 0.15 * grain * (soft > 0.02)) * 4 + 0.5, 0, 1)
    if hair.density < 1:
        mask = mask * np.clip(1.6 * hair.density - 0.5 + 0.3 * grain, 0, 1)
    shade = np.clip(1 + 0.13 * grain, 0.5, 1.5)[..., None]
    canvas.raise_body(window, mask, level=level, depth=0.15, bevel=0.16)
    canvas.tint(window, mask, np.array(hair.colour, np.float32) * shade)
    canvas.height[window] += 0.010 * mask * grain
    gleam = 0.08 if hair.curl > 0.6 else 0.22
    canvas.gloss[window] += mask * np.clip(gleam + 0.06 * grain, 0, 1)


def _fuzz(canvas: Canvas, person: Person, shape: Outline, texture: Array, *, blur: float) -> None:
    """Strew thin hair through which the skin shows."""
    window, soft = canvas.cover(shape, blur=blur)
    grain = texture[window]
    mask = np.clip(soft * (0.8 * person.hair.density + 0.25 * grain), 0, 1)
    canvas.tint(window, mask, person.hair.colour)
    canvas.height[window] += 0.012 * mask * grain


def beard(canvas: Canvas, person: Person, texture: Array, face: Array, rng: Rng) -> None:
    """Grow stubble, and a moustache or a beard if the person wears one."""
    if not person.manly:
        return
    f, skin, hair = person.form, person.skin, person.hair
    grain = rng.standard_normal((SIDE, SIDE), np.float32)
    above, below = f.mouth_y - 0.09, f.nose_y + 0.10
    edge = mirrored([(0.5 * f.mouth_width, above), (f.mouth_width + 0.12, above), (0.84 * f.width, below)])
    head = outline(person)
    jaw = head[head[:, 1] > f.eye_y + 0.12] * (1.02, 1) + (0, 0.04)
    whole = np.concatenate([curve(edge), jaw[np.argsort(-jaw[:, 0])]])
    window, soft = canvas.cover(whole, blur=0.04)
    shadow = soft * face[window] * skin.stubble * (0.32 + 0.1 * grain[window])
    canvas.tint(window, np.clip(shadow, 0, 1), mix(skin.colour, darker(hair.brow_colour, 0.1), 0.6))
    if hair.beard == "full":
        _fur(canvas, person, canvas.cover(whole, blur=0.03), texture + grain)
    elif hair.beard == "moustache":
        x, y = f.mouth_width, f.mouth_y
        tip = (1.1 * x, y + 0.015 - 0.05 * f.smile)
        upper, lower = [(0, f.nose_y + 0.045), (0.9 * x, y - 0.05), tip], [(0, y - 0.04), (0.6 * x, y - 0.035), tip]
        lip = between(mirrored(upper), mirrored(lower))
        _fur(canvas, person, canvas.cover(lip, blur=0.01), texture + grain)


def _fur(canvas: Canvas, person: Person, cover: tuple[Window, Array], texture: Array) -> None:
    window, soft = cover
    grain = texture[window]
    mask = np.clip((soft - 0.5 + 0.09 * grain) * 3 + 0.5, 0, 0.92)
    colour = mix(person.hair.colour, person.hair.brow_colour, 0.5)
    canvas.tint(window, mask, np.array(colour, np.float32) * (1 + 0.12 * grain)[..., None])
    canvas.height[window] += mask * (0.025 + 0.005 * grain)
    canvas.gloss[window] *= 1 - 0.7 * mask
