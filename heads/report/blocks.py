"""What a report is made of, whether it becomes a page or Markdown: words, tables and plots, none of them escaped."""

from dataclasses import dataclass


@dataclass(frozen=True)
class Cell:
    """A field of a table; `share` (0..1) is the length of a bar beneath the text, or in a matrix its depth.

    `note` stands beneath in small letters, such as an interval.
    """

    text: str
    best: bool = False
    share: float | None = None
    badge: str = ""
    note: str = ""


@dataclass(frozen=True)
class Row:
    """A line of a table; a muted one is there for contrast."""

    cells: tuple[Cell, ...]
    muted: bool = False


@dataclass(frozen=True)
class Table:
    """Words in the first `words` columns, numbers in the rest; a matrix has narrow columns and shaded cells."""

    title: str
    header: tuple[str, ...]
    rows: tuple[Row, ...]
    words: int = 1
    matrix: bool = False


@dataclass(frozen=True)
class Shape:
    """A path of SVG with the classes that give it its look."""

    path: str
    look: str


@dataclass(frozen=True)
class Label:
    """Text in a plot: its place, and which side of it is there (start, middle or end)."""

    x: float
    y: float
    text: str
    anchor: str = "middle"
    look: str = "tick"


@dataclass(frozen=True)
class Plot:
    """A picture of paths and labels, `width` x `height` units; `about` says in words what it shows."""

    title: str
    about: str
    shapes: tuple[Shape, ...]
    labels: tuple[Label, ...]
    width: int
    height: int


@dataclass(frozen=True)
class Key:
    """An entry of a legend: how something looks in the plots beside it, and its name."""

    shapes: tuple[Shape, ...]
    text: str


@dataclass(frozen=True)
class Face:
    """An image in a gallery: what it is, what was said of it instead, and a small JPEG as a data URI, or none."""

    image_id: str
    true: str
    predicted: str
    picture: str = ""
    instead: str = "instead of"


@dataclass(frozen=True)
class Crop:
    """A face that was found in a picture: its number, quality, facts by name, and a small JPEG as a data URI, or none.

    The fact named `weakest` decides the quality; `refusal` says why the face is not wanted, or nothing.
    """

    number: str
    quality: str
    facts: tuple[tuple[str, str], ...]
    weakest: str = ""
    picture: str = ""
    refusal: str = ""


@dataclass(frozen=True)
class Photo:
    """A picture with what was found in it: a small JPEG as a data URI, or none.

    `plot` is drawn over it, in pixels of the picture at its full size; of its crops `folded` are shown on demand.
    """

    image_id: str
    status: str
    reason: str
    plot: Plot
    picture: str = ""
    crops: tuple[Crop, ...] = ()
    folded: tuple[Crop, ...] = ()


@dataclass(frozen=True)
class Block:
    """A heading with what belongs to it.

    `code` stands as it is, `more` is folded away on the page, and a `narrow` block has room for another beside it.
    """

    title: str
    caption: str = ""
    code: str = ""
    keys: tuple[Key, ...] = ()
    plots: tuple[Plot, ...] = ()
    tables: tuple[Table, ...] = ()
    faces: tuple[Face, ...] = ()
    photos: tuple[Photo, ...] = ()
    more: "Block | None" = None
    narrow: bool = False


@dataclass(frozen=True)
class Section:
    """A chapter, which the list of contents names."""

    title: str
    anchor: str
    blocks: tuple[Block, ...]


@dataclass(frozen=True)
class Headline:
    """The outcome of a task, which can be read on as a sentence: lead, figure, its interval, model and contrast.

    `verdicts` are sentences on whether other models are worse.
    """

    lead: str
    figure: str
    model: str
    contrast: str
    interval: str = ""
    verdicts: tuple[str, ...] = ()


@dataclass(frozen=True)
class Report:
    """All of it: what it comes to, warnings that must not be missed, and the sections."""

    title: str
    subtitle: str
    summary: tuple[Headline, ...]
    warnings: tuple[str, ...]
    sections: tuple[Section, ...]
