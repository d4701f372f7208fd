"""Who is drawn: traits at random around what an age, a gender and a skin tone suggest.

The tones borrow the names of the ethnicity labels so that drawn faces can take their place. They are palettes, made up
to be told apart, and say nothing about people.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TypeVar

import numpy as np
from numpy.typing import ArrayLike

Colour = tuple[float, float, float]  # red, green, blue, 0..1
Rng = np.random.Generator
_T = TypeVar("_T")


@dataclass(frozen=True)
class Form:
    """Where the parts of a face are, and how large: x from the middle, y downwards, a chip being two units wide."""

    top: float
    chin: float
    chin_width: float
    width: float
    cheek: float  # of `width`
    jaw: float  # of `width`
    eye_x: float
    eye_y: float
    eye_width: float  # half of it
    eye_open: float  # of `eye_width`
    eye_tilt: float
    brow_gap: float
    brow_thick: float
    brow_arch: float
    nose_y: float  # its lower end
    nose_width: float  # half of it
    bridge: float  # how far it stands out, about 0..1
    mouth_y: float
    mouth_width: float  # half of it
    lips: float  # thickness of one
    smile: float  # -0.25 glum .. 1
    open: float  # of the mouth, 0..0.55


@dataclass(frozen=True)
class Skin:
    """What the skin looks like; from 0 to about 1 where nothing else is said."""

    colour: Colour
    wrinkles: float
    bags: float  # under the eyes
    spots: float
    freckles: float
    blush: float
    stubble: float


@dataclass(frozen=True)
class Hair:
    """How the hair is worn; from 0 to 1 where nothing else is said."""

    style: str  # fuzz, short, bald, long, bob, perm, up or pigtails
    colour: Colour
    brow_colour: Colour
    density: float
    hairline: float  # y of its middle
    recession: float
    volume: float  # thickness above the skull, in units
    curl: float
    part: float  # x of the parting, in units
    fringe: bool
    beard: str  # "", moustache or full


@dataclass(frozen=True)
class Style:
    """What is chosen or worn, and the colour of the eyes."""

    eyes: Colour
    lashes: float
    lipstick: float
    lip_colour: Colour
    glasses: str  # "", round, square or thin
    frame: Colour
    clothes: Colour
    earrings: bool


@dataclass(frozen=True)
class Person:
    """All that is needed to draw a face, but for the scene.

    Attributes
    ----------
    age : years.
    gender : one of `data.labels.GENDERS`.
    tone : one of `data.labels.ETHNICITIES`, here the name of a palette.
    growth : 0 newborn .. 1 grown up.
    ageing : 0 up to the middle twenties .. 1 about ninety.
    manly : 0 for women and children .. 1 for men.
    """

    age: int
    gender: str
    tone: str
    growth: float
    ageing: float
    manly: float
    form: Form
    skin: Skin
    hair: Hair
    style: Style


@dataclass(frozen=True)
class _Palette:
    skin: Colour
    hair: tuple[Colour, ...]
    eyes: tuple[Colour, ...]
    curl: tuple[float, float]  # parameters of a beta distribution


_BLACK, _DARK, _BROWN = (0.10, 0.08, 0.08), (0.20, 0.13, 0.10), (0.34, 0.21, 0.13)
_CHESTNUT, _RED, _BLOND, _FAIR = (0.45, 0.26, 0.14), (0.62, 0.27, 0.12), (0.74, 0.55, 0.30), (0.86, 0.70, 0.44)
_DARK_EYES, _BROWN_EYES, _HAZEL = (0.17, 0.10, 0.07), (0.36, 0.20, 0.10), (0.46, 0.36, 0.16)
_GREEN, _BLUE, _GREY = (0.33, 0.46, 0.30), (0.28, 0.48, 0.68), (0.45, 0.53, 0.58)

_PALETTES = {
    "white": _Palette((0.98, 0.81, 0.76), (_CHESTNUT, _RED, _BLOND, _FAIR), (_BLUE, _GREEN, _GREY, _HAZEL), (1.3, 1.8)),
    "black": _Palette((0.37, 0.235, 0.175), (_BLACK, _BLACK, _DARK), (_DARK_EYES, _BROWN_EYES), (3.0, 1.3)),
    "asian": _Palette((0.93, 0.765, 0.55), (_BLACK, _BLACK, _DARK), (_DARK_EYES, _BROWN_EYES), (1.0, 4.5)),
    "indian": _Palette((0.61, 0.40, 0.275), (_BLACK, _DARK), (_DARK_EYES, _BROWN_EYES), (1.3, 2.2)),
    "others": _Palette((0.82, 0.59, 0.43), (_BROWN, _CHESTNUT), (_HAZEL, _GREEN, _BROWN_EYES), (2.0, 2.0)),
}
_LIPSTICKS = ((0.72, 0.12, 0.16), (0.80, 0.28, 0.34), (0.62, 0.16, 0.26), (0.78, 0.34, 0.28))
_FRAMES = ((0.08, 0.08, 0.09), (0.25, 0.14, 0.08), (0.55, 0.50, 0.42), (0.10, 0.14, 0.30))


def mix(first: ArrayLike, second: ArrayLike, share: float) -> Colour:
    """Return a colour between two: the first at 0, the second at 1."""
    first = np.asarray(first)
    red, green, blue = np.clip(first + (np.asarray(second) - first) * share, 0, 1).tolist()
    return red, green, blue


def draw_person(age: int, gender: str, tone: str, rng: Rng) -> Person:
    """Draw the traits of a person of an age (years, 0 to about 100), a gender and a tone."""
    growth = float(1 - np.exp(-age / 8))
    ageing = _clip(_ramp(age, 24, 92) + 0.05 * rng.normal())
    manly = _ramp(age, 11, 19) if gender == "male" else 0.0
    womanly = _ramp(age, 11, 19) if gender == "female" else 0.0
    palette = _PALETTES[tone]
    return Person(
        age=age,
        gender=gender,
        tone=tone,
        growth=growth,
        ageing=ageing,
        manly=manly,
        form=_draw_form(growth, ageing, manly, womanly, rng),
        skin=_draw_skin(age, ageing, manly, palette, rng),
        hair=_draw_hair(age, gender == "female", palette, rng),
        style=_draw_style(age, gender == "female", palette, rng),
    )


def _draw_form(growth: float, ageing: float, manly: float, womanly: float, rng: Rng) -> Form:
    def between(newborn: float, grown: float, spread: float) -> float:
        return newborn + (grown - newborn) * growth + spread * rng.normal()

    smile = _clip(rng.normal(0.5, 0.38), -0.25, 1)
    return Form(
        top=between(-0.84, -0.84, 0.01),
        chin=between(0.70, 0.80, 0.02) + 0.02 * manly,
        chin_width=between(0.24, 0.145, 0.012) + 0.06 * manly + 0.02 * ageing,
        width=between(0.635, 0.55, 0.016) + 0.01 * manly,
        cheek=between(1.045, 0.91, 0.02) + 0.02 * manly,
        jaw=between(0.86, 0.645, 0.025) + 0.085 * manly + 0.06 * ageing,
        eye_x=between(0.285, 0.243, 0.008),
        eye_y=between(0.15, -0.065, 0.012),
        eye_width=between(0.158, 0.117, 0.004) + 0.006 * womanly,
        eye_open=_clip(between(0.68, 0.43, 0.03) + 0.05 * womanly - 0.12 * ageing - 0.05 * max(smile, 0), 0.2, 0.75),
        eye_tilt=0.04 * rng.normal() - 0.08 * ageing + 0.02,
        brow_gap=between(0.165, 0.145, 0.008) - 0.02 * manly,
        brow_thick=between(0.020, 0.038, 0.004) + 0.018 * manly - 0.008 * womanly,
        brow_arch=between(0.018, 0.032, 0.008) + 0.018 * womanly,
        nose_y=between(0.355, 0.27, 0.012) + 0.03 * ageing,
        nose_width=between(0.098, 0.116, 0.008) + 0.018 * manly + 0.02 * ageing,
        bridge=_clip(between(-0.25, 0.85, 0.1) + 0.2 * manly, 0, 1.2),
        mouth_y=between(0.49, 0.475, 0.010) + 0.015 * ageing,
        mouth_width=between(0.132, 0.205, 0.01) + 0.015 * manly,
        lips=_clip(between(0.062, 0.058, 0.007) + 0.014 * womanly - 0.034 * ageing, 0.014, 0.1),
        smile=smile,
        open=max(0, smile - 0.45) if rng.random() < 0.65 else 0.0,
    )


def _draw_skin(age: int, ageing: float, manly: float, palette: _Palette, rng: Rng) -> Skin:
    own = np.asarray(palette.skin) * (1 + 0.025 * rng.normal()) * (1 + 0.012 * rng.normal(size=3))
    freckled = rng.random() < 0.18 and palette.skin[1] > 0.8 and age > 3
    return Skin(
        colour=mix(own, own * (0.97, 0.95, 0.93), ageing),
        wrinkles=_clip(ageing * rng.normal(1, 0.15)),
        bags=_clip(0.15 + 0.85 * ageing + 0.15 * rng.normal(), 0, 1.2) * _ramp(age, 15, 40),
        spots=max(0, ageing - 0.35) * rng.uniform(0.5, 1.3),
        freckles=(1 - ageing) * freckled,
        blush=0.7 * (1 - _ramp(age, 0, 16)) + rng.uniform(0.1, 0.5),
        stubble=manly * rng.uniform(0.1, 0.9) * (age > 16),
    )


def _draw_hair(age: int, woman: bool, palette: _Palette, rng: Rng) -> Hair:
    natural = np.asarray(_pick(rng, palette.hair)) * rng.normal(1, 0.12) + 0.005 * max(0, 8 - age)
    dyed = woman and age > 38 and rng.random() < 0.2
    grey = 0.0 if dyed else _ramp(age + 6 * rng.normal(), 34, 76)
    white = mix((0.62, 0.61, 0.60), (0.93, 0.92, 0.90), _ramp(age, 55, 85))
    recession = 0.0 if woman else _clip(_ramp(age, 22, 80) * rng.uniform(0.1, 1.25))
    bearded = not woman and age > 20 and rng.random() < 0.4
    return Hair(
        style=_choose_style(age, woman, recession, rng),
        colour=mix(natural, white, grey),
        brow_colour=mix(mix(natural, _BLACK, 0.35), white, 0.6 * grey),
        density=_clip(0.35 + 0.1 * age) if age < 3 else 1 - 0.25 * _ramp(age, 60, 95) * (not woman),
        hairline=rng.normal(-0.51, 0.03),
        recession=recession,
        volume=_clip(rng.normal(0.11 if woman and age > 3 else 0.065, 0.02), 0.035, 0.16),
        curl=rng.beta(*palette.curl) if age > 2 else 0.1,
        part=rng.uniform(-0.3, 0.3),
        fringe=rng.random() < (0.35 if woman else 0.25) and (woman or age < 60),
        beard=_pick(rng, ("full", "full", "moustache")) if bearded else "",
    )


def _choose_style(age: int, woman: bool, recession: float, rng: Rng) -> str:
    if age < 3:
        return "fuzz"
    if not woman:
        return "bald" if recession > 0.72 else "short"
    if age < 14:
        return _pick(rng, ("long", "long", "bob", "pigtails"))
    return _pick(rng, ("long", "long", "long", "bob", "up") if age < 55 else ("bob", "perm", "perm", "up"))


def _draw_style(age: int, woman: bool, palette: _Palette, rng: Rng) -> Style:
    made_up = woman and age > 15
    bespectacled = age > 3 and rng.random() < 0.05 + 0.08 * _ramp(age, 8, 20) + 0.28 * _ramp(age, 40, 75)
    cloth = rng.uniform(0.1, 0.85)
    return Style(
        eyes=_pick(rng, palette.eyes),
        lashes=(0.95 - 0.5 * _ramp(age, 45, 80) if made_up else 0.4) if woman else 0.1,
        lipstick=rng.uniform(0.4, 0.9) if made_up and rng.random() < 0.7 else 0.0,
        lip_colour=_pick(rng, _LIPSTICKS),
        glasses=_pick(rng, ("round", "square", "thin")) if bespectacled else "",
        frame=_pick(rng, _FRAMES),
        clothes=mix((cloth, cloth, cloth), rng.random(3), 0.35),
        earrings=woman and age > 12 and rng.random() < 0.4,
    )


def _clip(value: float, low: float = 0.0, high: float = 1.0) -> float:
    return float(min(max(value, low), high))


def _ramp(value: float, low: float, high: float) -> float:
    """Rise smoothly from 0 at `low` to 1 at `high`."""
    t = _clip((value - low) / (high - low))
    return t * t * (3 - 2 * t)


def _pick(rng: Rng, options: Sequence[_T]) -> _T:
    return options[int(rng.integers(len(options)))]
