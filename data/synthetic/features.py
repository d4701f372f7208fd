"""What a face is made of: each function adds one feature to a canvas."""

import cv2
import numpy as np

from data.synthetic.camera import Scene
from data.synthetic.canvas import (
    SIDE,
    Array,
    Canvas,
    Outline,
    Pair,
    between,
    curve,
    ellipse,
    mirrored,
    on,
    stroke,
)
from data.synthetic.traits import Colour, Person, Rng, mix

SIDES = (-1, 1)


def darker(colour: Colour, by: float) -> Colour:
    """Return a shade of a colour, redder as it darkens, as skin is in its folds."""
    return (colour[0] * (1 - 0.75 * by), colour[1] * (1 - by), colour[2] * (1 - by))


def background(canvas: Canvas, scene: Scene, rng: Rng) -> None:
    """Hang a wall of two colours behind everything, with patches out of focus."""
    across = np.linspace(-1, 1, 24, dtype=np.float32)
    share = np.clip(0.5 + 0.35 * across[:, None] + 0.25 * across, 0, 1)
    patches = cv2.GaussianBlur(rng.standard_normal((24, 24), np.float32), (0, 0), 2.5)
    first, second = np.asarray(scene.background, np.float32)
    wall = first + (share + patches)[..., None] * (second - first)
    canvas.colour[:] = np.clip(cv2.resize(wall, (SIDE, SIDE), interpolation=cv2.INTER_CUBIC), 0, 1)
    canvas.height[:] = -0.7


def shoulders(canvas: Canvas, person: Person) -> None:
    """Put the neck and the shoulders, clothed, before what is there."""
    f, skin = person.form, person.skin
    thick = f.width * (0.42 + 0.12 * person.growth) + 0.06 * person.manly
    neck = mirrored([(thick, f.chin - 0.35), (thick, f.chin + 0.16), (1.3 * thick, 1.3)])
    canvas.mass(curve(neck, closed=True), darker(skin.colour, 0.08), level=-0.40, depth=0.22, bevel=0.25)
    folds = [stroke(mirrored([(0, f.chin + y + 0.03), (0.2, f.chin + y)]), 0.02) for y in (0.08, 0.15, 0.22)]
    canvas.emboss(folds, -0.02 * skin.wrinkles, blur=0.008)
    y = 0.88 + 0.10 * person.growth
    collar = [(0, y + 0.1), (thick + 0.04, y - 0.1)]
    body = mirrored([*collar, (0.75, y - 0.02), (1.25, y + 0.12), (1.5, 1.4)])
    canvas.mass(curve(body, closed=True), person.style.clothes, level=-0.33, depth=0.15, bevel=0.3)
    hem = stroke(mirrored(collar), 0.05)
    canvas.paint(hem, darker(person.style.clothes, 0.2), blur=0.004)
    canvas.emboss(hem, 0.03, blur=0.01)


def ears(canvas: Canvas, person: Person) -> None:
    """Put the ears before what is there."""
    f, skin = person.form, person.skin.colour
    x, y, long = f.width, f.eye_y + 0.11, 0.15 + 0.02 * person.ageing
    shell = [(x - 0.06, y - long), (x + 0.06, y - 1.05 * long), (x + 0.085, y - 0.05)]
    lobe = [(x + 0.035, y + 0.8 * long), (x - 0.06, y + long)]
    inner = [(x + 0.02, y - 0.75 * long), (x + 0.05, y - 0.04), (x + 0.01, y + 0.4 * long)]
    flush = mix(skin, (0.85, 0.40, 0.35), 0.12)
    for side in SIDES:
        canvas.mass(curve(on(side, shell + lobe), closed=True), flush, level=-0.12, depth=0.06, bevel=0.05)
        hollow = stroke(on(side, inner), 0.035)
        canvas.emboss(hollow, -0.03, blur=0.008)
        canvas.paint(hollow, darker(skin, 0.35), 0.5, blur=0.01)
        if person.style.earrings:
            canvas.paint(ellipse((side * (x + 0.02), y + long), (0.022, 0.022)), (0.95, 0.85, 0.55))


def outline(person: Person) -> Outline:
    """Return the outline of the bare head."""
    f = person.form
    tall = f.chin - f.top
    right = [
        (0, f.top),
        (0.40 * f.width, f.top + 0.03 * tall),
        (0.79 * f.width, f.top + 0.13 * tall),
        (0.98 * f.width, f.top + 0.30 * tall),
        (f.width, f.top + 0.48 * tall),
        (f.cheek * f.width, f.top + 0.66 * tall),
        (f.jaw * f.width, f.top + 0.84 * tall),
        (1.25 * f.chin_width, f.chin - 0.055 * tall),
        (0.62 * f.chin_width, f.chin - 0.008 * tall),
    ]
    return curve([*right, (0, f.chin), *on(-1, right[:0:-1])], closed=True)


def head(canvas: Canvas, person: Person) -> Array:
    """Put the bare head before what is there, with its large forms; return its mask of the whole canvas."""
    f, grown, old, manly = person.form, person.growth, person.ageing, person.manly
    smile = max(f.smile, 0)
    shape = outline(person)
    canvas.mass(shape, person.skin.colour, level=-0.12, depth=0.46, bevel=0.52)
    mask = canvas.inside(shape)
    canvas.gloss += (0.28 - 0.20 * person.skin.colour[1]) * mask  # gleams show most on dark skin
    canvas.bump((0, f.eye_y - 0.42), (0.30, 0.18), 0.06 - 0.03 * grown)  # forehead
    for side in SIDES:
        x = side * f.width
        canvas.bump((side * f.eye_x, f.eye_y - 0.01), (0.10, 0.065), -0.05 - 0.02 * grown - 0.015 * old)  # socket
        canvas.bump((side * (f.eye_x - 0.13), f.eye_y), (0.03, 0.05), -0.03 * grown)
        canvas.bump((side * 0.95 * f.eye_x, f.eye_y - f.brow_gap - 0.02), (0.13, 0.045), 0.012 + 0.03 * manly)
        cheek = 0.10 - 0.05 * grown + 0.03 * smile - 0.035 * old
        canvas.bump((x * (0.60 - 0.04 * grown), f.eye_y + 0.27 + 0.03 * old), (0.14, 0.12), cheek)
        canvas.bump((x * 0.62, f.mouth_y + 0.02), (0.10, 0.13), -0.035 * old - 0.02 * grown * (1 - smile))
        canvas.bump((x * f.jaw * 0.82, f.mouth_y + 0.16), (0.08, 0.07), 0.05 * old)  # jowl
        canvas.bump((x * 0.93, f.eye_y - 0.16), (0.06, 0.12), -0.02 - 0.04 * old)  # temple
    canvas.bump((0, f.mouth_y + 0.01), (0.17, 0.12), 0.05)
    canvas.bump((0, f.chin - 0.09), (0.06 + 0.3 * max(f.chin_width - 0.15, 0), 0.06), 0.05)
    return mask


def complexion(canvas: Canvas, person: Person, face: Array, rng: Rng) -> None:
    """Colour the skin: flushed cheeks, dark rings, mottles, pores, spots, freckles."""
    f, s = person.form, person.skin
    rosy = (s.colour[0] * 0.98, s.colour[1] * 0.62, s.colour[2] * 0.58)
    for side in SIDES:
        canvas.glow((side * f.width * 0.58, f.eye_y + 0.28), (0.15, 0.12), rosy, 0.08 + 0.3 * s.blush, clip=face)
        canvas.glow((side * f.eye_x, f.eye_y), (0.13, 0.085), darker(s.colour, 0.4), 0.25 + 0.15 * s.bags, clip=face)
    canvas.glow((0, f.nose_y - 0.02), (0.09, 0.07), rosy, 0.2 + 0.15 * s.blush, clip=face)
    canvas.glow((0, f.chin - 0.08), (0.12, 0.08), rosy, 0.12, clip=face)
    mottles = cv2.resize(rng.standard_normal((24, 24), np.float32), (SIDE, SIDE), interpolation=cv2.INTER_CUBIC)
    pores = cv2.resize(rng.standard_normal((SIDE // 2, SIDE // 2), np.float32), (SIDE, SIDE))
    canvas.colour *= (1 + (0.012 + 0.022 * person.ageing) * face * mottles)[..., None]
    canvas.height += (0.0003 + 0.0008 * person.growth * (1 + person.ageing)) * face * pores
    for _ in range(int(26 * s.spots)):
        x, y, r = rng.uniform(-0.9, 0.9) * f.width, rng.uniform(f.top + 0.2, f.chin - 0.15), rng.uniform(0.008, 0.026)
        canvas.glow((x, y), (r, 0.8 * r), darker(s.colour, 0.42), rng.uniform(0.25, 0.6), clip=face)
    for _ in range(int(60 * s.freckles)):
        x, y = rng.normal(0, 0.22), rng.normal(f.eye_y + 0.22, 0.08)
        canvas.glow((x, y), (0.006, 0.006), (0.66, 0.40, 0.26), rng.uniform(0.15, 0.5), clip=face)


def _crease(canvas: Canvas, person: Person, lines: list[Array], width: float, depth: float) -> None:
    """Fold the skin along lines: a groove that catches the light, with a swelling below; `depth` is 0..1 and more."""
    if depth < 0.03:
        return
    folds = [stroke(line, width) for line in lines]
    canvas.emboss(folds, -0.028 * depth, blur=0.25 * width)
    canvas.emboss([np.add(fold, (0, width)) for fold in folds], 0.010 * depth, blur=0.4 * width)
    canvas.paint(folds, darker(person.skin.colour, 0.55), min(0.42 * depth, 0.5), blur=0.25 * width)


def wrinkles(canvas: Canvas, person: Person, rng: Rng) -> None:
    """Fold the skin of forehead, eyes, cheeks and mouth, as age and a smile do."""
    f, w, bags = person.form, person.skin.wrinkles, person.skin.bags
    smile = max(f.smile, 0)
    for k in range(4):
        y = f.eye_y - f.brow_gap - 0.09 - 0.075 * k
        half = f.width * rng.uniform(0.45, 0.68)
        line = mirrored([(half / 3, y - 0.015), (half, y + 0.03)])
        line[:, 1] += 0.012 * rng.standard_normal(4, np.float32)
        _crease(canvas, person, [line], 0.028, (1.25 * w - 0.2 * k) * rng.uniform(0.7, 1))
    corner, mouth = f.eye_x + f.eye_width + 0.035, f.mouth_width + 0.07
    frown = [(0.035, f.eye_y - f.brow_gap - 0.05), (0.028, f.eye_y - 0.05)]
    cheek = [(f.nose_width + 0.02, f.nose_y - 0.05), (mouth - 0.01, (f.nose_y + f.mouth_y) / 2)]
    cheek += [(mouth + 0.01, f.mouth_y + 0.02 + 0.06 * w)]
    jowl = [(mouth - 0.04, f.mouth_y + 0.03), (mouth - 0.02, f.mouth_y + 0.10), (mouth - 0.03, f.mouth_y + 0.17)]
    bag = [(f.eye_x - 0.9 * f.eye_width, f.eye_y + 0.065), (f.eye_x, f.eye_y + 0.115), (corner - 0.04, f.eye_y + 0.075)]
    lips = [[(x, f.mouth_y - 0.10), (1.05 * x, f.mouth_y - 0.05)] for x in (0.04, 0.085, 0.13)]
    for side in SIDES:
        feet = []
        for k in (-1, 0, 1):
            x, y = corner + rng.uniform(0.07, 0.12), f.eye_y + 0.085 * k + 0.02
            feet.append(on(side, [(corner, f.eye_y + 0.03 * k), (corner + 0.05, f.eye_y + 0.055 * k + 0.004), (x, y)]))
        _crease(canvas, person, feet, 0.02, w * (0.6 + 0.4 * smile))
        _crease(canvas, person, [on(side, frown)], 0.022, 0.6 * (w - 0.25))
        _crease(canvas, person, [on(side, cheek)], 0.035, 0.12 * (person.growth - 0.3) + 0.75 * w + 0.3 * smile)
        _crease(canvas, person, [on(side, jowl)], 0.03, 1.2 * w - 0.25)
        _crease(canvas, person, [on(side, line) for line in lips], 0.014, 0.7 * w - 0.35)
        _crease(canvas, person, [on(side, bag)], 0.03, 0.7 * bags)
        canvas.bump((side * f.eye_x, f.eye_y + 0.085), (0.07, 0.02), 0.016 * bags)


def nose(canvas: Canvas, person: Person) -> None:
    """Raise the nose, and cut the nostrils."""
    f, skin, grown = person.form, person.skin.colour, person.growth
    y, w, top = f.nose_y, f.nose_width, f.eye_y - 0.03
    middle = (top + y) / 2
    ridge = [(0, y), (0.5 * w, y - 0.05), (0.036, middle), (0.028, top)]
    canvas.emboss(curve(mirrored(ridge), closed=True), 0.018 + 0.078 * f.bridge, blur=0.024)
    canvas.bump((0, y - 0.05), (0.048 + 0.2 * (w - 0.1), 0.05), 0.075 + 0.045 * grown)
    canvas.bump((0, y + 0.05), (0.05, 0.02), -0.03)
    wing = [(0.92 * w, y - 0.085), (1.12 * w, y - 0.045), (1.05 * w, y + 0.005), (0.8 * w, y + 0.012)]
    for side in SIDES:
        canvas.bump((side * 0.8 * w, y - 0.035), (0.032, 0.035), 0.05 + 0.015 * grown)
        fold = stroke(on(side, wing), 0.02)
        canvas.emboss(fold, -0.018, blur=0.006)
        canvas.paint(fold, darker(skin, 0.5), 0.2 + 0.18 * grown, blur=0.006)
        nostril = ellipse((side * 0.46 * w, y + 0.008), (0.022 + 0.008 * grown, 0.014))
        canvas.emboss(nostril, -0.02, blur=0.006)
        canvas.paint(nostril, darker(skin, 0.85), 0.6 + 0.2 * grown, blur=0.006)
    canvas.paint(stroke(mirrored([(0, y + 0.035), (0.7 * w, y + 0.02)]), 0.03), darker(skin, 0.5), 0.3, blur=0.012)
    canvas.wet(ellipse((0, y - 0.07), (0.03, 0.035)), 0.25, blur=0.015)
    canvas.wet(ellipse((0, y - 0.20), (0.012, 0.10)), 0.18 * grown, blur=0.01)


def mouth(canvas: Canvas, person: Person) -> None:
    """Put the lips on, and part them over the teeth if they smile widely."""
    f, style, skin = person.form, person.style, person.skin.colour
    w, y, lift, gap = f.mouth_width * (1 + 0.16 * max(f.smile, 0)), f.mouth_y, 0.055 * f.smile, 0.11 * f.open
    up, low, corner = 0.75 * f.lips, 1.05 * f.lips, (w, y - lift)
    bow = [(0, y - 0.8 * up - 0.4 * gap), (0.17 * w, y - up - 0.4 * gap)]
    top = mirrored([*bow, (0.55 * w, y - 0.55 * lift - 0.72 * up - 0.35 * gap), corner])
    bottom = mirrored([(0, y + low + 1.25 * gap), (0.55 * w, y - 0.2 * lift + 0.75 * low + 0.8 * gap), corner])
    seam = mirrored([(0, y + 0.006 - 0.4 * gap), (0.5 * w, y - 0.25 * lift - 0.35 * gap), corner])
    inner = mirrored([(0, y + 0.008 + 1.25 * gap), (0.5 * w, y - 0.2 * lift + 0.8 * gap), corner])
    pale = mix(mix(skin, (0.70, 0.30, 0.30), 0.45), skin, 0.25 * person.ageing)
    lip = mix(pale, style.lip_colour, style.lipstick)
    canvas.bump((0, y + low + gap + 0.045), (0.10, 0.025), -0.045)
    canvas.bump((0, y - up - 0.06), (0.016, 0.04), -0.014)
    upper, lower = between(top, seam), between(inner, bottom)
    canvas.emboss(upper, 0.022, blur=0.012)
    canvas.emboss(lower, 0.038, blur=0.016)
    canvas.paint(upper, darker(lip, 0.14), 0.85, blur=0.006)
    canvas.paint(lower, lip, 0.85, blur=0.007)
    canvas.wet(lower, 0.35 + 0.25 * style.lipstick, blur=0.012)
    if gap:
        _teeth(canvas, person, between(seam, inner))
    line = stroke(seam, 0.02)
    canvas.emboss(line, -0.02, blur=0.006)
    canvas.paint(line, darker(lip, 0.7), 0.85, blur=0.004)
    for side in SIDES:
        canvas.glow((side * (w + 0.008), y - lift), (0.018, 0.015), darker(skin, 0.6), 0.55)
        canvas.bump((side * (w + 0.015), y - lift), (0.03, 0.025), -0.018)


def _teeth(canvas: Canvas, person: Person, opening: Outline) -> None:
    clip = canvas.inside(opening)
    canvas.height -= 0.02 * clip
    canvas.paint(opening, (0.30, 0.08, 0.08))
    top, bottom = opening[:, 1].min(), opening[:, 1].max()
    if person.age < 2:
        canvas.glow((0, bottom), (0.07, 0.02), (0.85, 0.45, 0.45), 0.9, clip=clip)  # a tongue
        return
    end = top + 0.72 * (bottom - top)
    ivory = mix((0.97, 0.96, 0.93), (0.90, 0.84, 0.70), person.ageing)
    canvas.paint(ellipse((0, top), (person.form.mouth_width, end - top)), ivory, clip=clip, blur=0.004)
    gaps = [stroke([(x, top), (x, end)], 0.008) for x in 0.038 * np.arange(-4, 5)]
    canvas.paint(gaps, (0.55, 0.45, 0.40), 0.35, clip=clip, blur=0.002)


def eye(canvas: Canvas, person: Person, side: int, gaze: Pair) -> None:
    """Set one eye, with its lids and lashes."""
    f, w = person.form, person.form.eye_width
    squint = 0.18 * max(f.smile, 0)

    def at(u: float, v: float) -> Pair:
        """Return a point of the eye: u from its corner near the nose, -1, to the other, 1; v down."""
        return side * (f.eye_x + u * w), f.eye_y + v * w * f.eye_open - f.eye_tilt * u * w

    upper = np.array([at(-1, 0.18), at(-0.6, -0.62), at(0, -1), at(0.6, -0.72), at(1, -0.02)])
    low = 0.8 - squint
    lower = np.array([at(-1, 0.18), at(-0.55, low - 0.2), at(0, low), at(0.55, low - 0.18), at(1, -0.02)])
    lid = upper - (0, 0.035)
    canvas.emboss(stroke(lid, 0.07), 0.022, blur=0.012)
    fold = np.array([at(-0.95, -0.35), at(-0.5, -1.25), at(0.1, -1.62), at(0.7, -1.30), at(1.12, -0.35)])
    _crease(canvas, person, [fold], 0.022, 0.15 + 0.3 * person.growth + 0.5 * person.ageing)
    if person.style.lipstick:
        shadow = mix(person.skin.colour, (0.35, 0.20, 0.30), 0.6)
        canvas.paint(stroke(lid, 0.06), shadow, 0.45, blur=0.012)
    almond = between(upper, lower)
    _eyeball(canvas, person, almond, (side * f.eye_x + gaze[0], at(0, -0.1)[1] + gaze[1]))
    canvas.glow(at(-0.95, 0.2), (0.018, 0.018), (0.80, 0.45, 0.42), 0.8, clip=canvas.inside(almond))
    canvas.paint(stroke(np.add(upper, (0, 0.012)), 0.05), (0.15, 0.10, 0.10), 0.4, blur=0.012)
    _lashes(canvas, person, side, upper, lower)


def _eyeball(canvas: Canvas, person: Person, almond: Outline, centre: Pair) -> None:
    """Paint the white, the iris, the pupil and what is mirrored in them."""
    colour, (x, y) = person.style.eyes, centre
    r = 0.070 + 0.020 * (1 - person.growth)
    clip = canvas.inside(almond)
    canvas.height += 0.012 * clip
    canvas.paint(almond, mix((0.93, 0.92, 0.90), (0.90, 0.84, 0.76), person.ageing))
    canvas.paint(ellipse(centre, (r, r)), mix(colour, (0.03, 0.03, 0.04), 0.65), clip=clip, blur=0.004)
    canvas.paint(ellipse(centre, (0.84 * r, 0.84 * r)), colour, clip=clip, blur=0.006)
    canvas.glow((x, y + 0.4 * r), (0.45 * r, 0.3 * r), mix(colour, (1, 0.95, 0.8), 0.5), 0.7, clip=clip)
    canvas.paint(ellipse(centre, (0.42 * r, 0.42 * r)), (0.02, 0.02, 0.02), clip=clip, blur=0.003)
    window_ = ellipse((x - 0.3 * r, y - 0.38 * r), (0.2 * r, 0.2 * r))
    canvas.paint(window_, (1.5, 1.5, 1.5), clip=clip, blur=0.002)  # brighter than white: a mirror is not shaded
    canvas.paint(ellipse((x + 0.35 * r, y + 0.4 * r), (0.1 * r, 0.1 * r)), (1.1, 1.1, 1.1), 0.7, clip=clip)


def _lashes(canvas: Canvas, person: Person, side: int, upper: Array, lower: Array) -> None:
    dark, thick = (0.08, 0.05, 0.05), person.style.lashes
    tail = upper[-1] + (side * 0.03 * thick, -0.012 * thick)
    strength = 0.55 + 0.45 * thick - 0.25 * person.ageing * (thick < 0.5)
    canvas.paint(stroke([*upper, tail], 0.018 + 0.022 * thick), dark, strength, blur=0.003)
    canvas.paint(stroke(lower, 0.010 + 0.006 * thick), mix(dark, person.skin.colour, 0.25), 0.5, blur=0.004)
    if thick < 0.45:
        return
    hairs = []
    line = curve(upper)
    for k in range(10, len(line), 2):
        u = k / len(line)
        tip = line[k] + (side * (0.05 * u - 0.01), -0.042 * (0.4 + 0.6 * u))
        hairs.append(stroke([line[k], (line[k] + tip) / 2 + (side * 0.006, 0.004), tip], 0.006))
    canvas.paint(hairs, dark, 0.75 * thick)


def brow(canvas: Canvas, person: Person, side: int, rng: Rng) -> None:
    """Paint one eyebrow: a soft shape, and single hairs."""
    f, colour, old = person.form, person.hair.brow_colour, person.ageing
    y, thick = f.eye_y - f.brow_gap + 0.02 * old, f.brow_thick
    inner, outer = f.eye_x - 0.125, f.eye_x + f.eye_width + 0.035
    arch = [(0.5 * (inner + outer), y - f.brow_arch), (0.25 * inner + 0.75 * outer, y - 0.9 * f.brow_arch)]
    line = on(side, [(inner, y - 0.012 - 0.02 * old), *arch, (outer, y + 0.03 + 0.015 * old)])
    strength = (0.30 + 0.55 * person.growth) * (1 - 0.15 * old)
    canvas.paint(stroke(line, 1.3 * thick), colour, 0.75 * strength, blur=0.007)
    canvas.emboss(stroke(line, thick), 0.008 * person.growth, blur=0.008)
    spine = curve(line)
    for shade in (-0.05, 0.25):
        hairs = []
        for u in rng.random(3 + int(7 * person.growth)):
            root = spine[int(u * len(spine))] + (0, 0.4 * thick * rng.uniform(-1, 1) * (1 - 0.6 * u))
            tip = np.add(root, (side * rng.uniform(0.015, 0.035), 0.024 * u - 0.018))
            hairs.append(stroke([root, tip], 0.012))
        canvas.paint(hairs, darker(colour, shade), 0.5 * strength)


def glasses(canvas: Canvas, person: Person) -> None:
    """Put glasses on, if the person wears any."""
    f, colour = person.form, person.style.frame
    if not person.style.glasses:
        return
    share, power, wire = {"round": (0.92, 2.0, 0.024), "square": (0.68, 4.0, 0.034), "thin": (0.60, 2.8, 0.013)}[
        person.style.glasses
    ]
    y, w = f.eye_y + 0.02, f.eye_x - 0.045
    h = share * w
    for side in SIDES:
        centre = (side * (f.eye_x + 0.008), y)
        lens = ellipse(centre, (w, h), power=power)
        window, rim = canvas.cover(ellipse(centre, (w + wire, h + wire), power=power))
        rim = np.maximum(rim - canvas.inside(lens)[window], 0)
        canvas.tint(window, 0.25 * np.roll(cv2.GaussianBlur(rim, (0, 0), 3), 4, axis=0), (0, 0, 0))  # its shadow
        canvas.tint(window, rim, colour)
        canvas.height[window] += 0.012 * rim
        canvas.gloss[window] += 0.5 * rim
        gleam = stroke([(centre[0] - 0.4 * w, y + 0.1 * h), (centre[0] + 0.1 * w, y - 0.6 * h)], 0.06)
        canvas.paint(gleam, (1.2, 1.2, 1.2), 0.14, blur=0.01)
        temple = stroke(on(side, [(f.eye_x + w, y - 0.03), (f.width, y - 0.05)]), 1.4 * wire)
        canvas.paint(temple, colour)
    canvas.paint(stroke(mirrored([(0, y - 0.045), (0.06, y - 0.02)]), 1.2 * wire), colour)
