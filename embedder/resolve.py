"""From what people write, a name or a file with settings, to a backbone's row of data. Nothing is loaded here."""

import dataclasses
import json
import re
from collections.abc import Collection, Mapping, Sequence
from pathlib import Path
from typing import Any

from data.errors import BackboneError
from embedder.faces.detect import parse_detector
from embedder.faces.templates import TEMPLATES
from embedder.preprocess import NORMALIZATIONS
from embedder.seeded import is_seeded
from embedder.spec import (
    AUTO,
    BACKBONES,
    CPU,
    CUDA,
    DEFAULT_DETECTOR,
    DEVICES,
    EXECUTORS,
    MIRRORED,
    ON_GPUS,
    PRECISIONS,
    SEEDED,
    UNALIGNED,
    WHOLE,
    BackboneSpec,
    EmbeddingSpec,
    join_alignment,
)
from embedder.weights import require_weights

_SIDECAR_KEYS = ("name", "dim", "input_size", "layout", "channel_order", "normalization", "licence", "note", "url")
_ROW_KEYS = ("weights", "normalization", "channel_order")
_VIEW_KEYS = ("crop", "margin", "detector", "flip")  # which any backbone takes
_MARGINS = range(-40, 101)  # percent
_CROPS = range(10, 151)  # percent; above 100 the picture stands in the middle of black
_DEFAULT_TEMPLATE = "chip"  # what a detector's faces are aligned to unless something else is said
_RUN_KEYS = ("runtime", "precision", "device")  # which change no setting of the network, and any backbone takes, too
_LARGEST_SEED = 2**63 - 1
_CHOICES = {"channel_order": ("RGB", "BGR"), "normalization": tuple(NORMALIZATIONS), "layout": ("NCHW", "NHWC")}
_RUNTIMES = {".onnx": "onnx", ".h5": "keras"}  # by the ending of the weight file


def resolve_backbone(name: str) -> BackboneSpec:
    """The row of data for a name or an ONNX file, without loading anything. Raises as `load_backbone`."""
    stem, settings = _split_settings(name)
    view = {key: settings.pop(key) for key in _VIEW_KEYS if key in settings}
    run = {key: settings.pop(key) for key in _RUN_KEYS if key in settings}
    if stem.lower().endswith(".onnx"):
        return _run_by(_viewed(_onnx_spec(Path(stem), settings), **view), **run)
    return _run_by(_viewed(_named_spec(_row(stem), settings), **view), **run)


def recall_backbone(spec: EmbeddingSpec) -> BackboneSpec:
    """The row of data that gave such embeddings: its weight file is found by its name, or drawn again by its seed.

    Raises
    ------
    BackboneError : the file is not where it was, or the program knows no such row.
    """
    row = _row(spec.recorded.get("backbone", spec.name))
    same = ("channel_order", "normalization", "crop", "alignment", "detector", "layer")
    row = dataclasses.replace(row, **{field: getattr(spec, field) for field in same})
    if spec.seeded is not None:
        return in_precision(_seeded(row, spec.seeded), spec.precision)
    if not row.files:
        return row
    return in_precision(_on_file(row, require_weights(row.name, (spec.recorded["weights_file"],))), spec.precision)


def in_precision(row: BackboneSpec, precision: str) -> BackboneSpec:
    """A row of data as it gave embeddings in some precision, that of an EmbeddingSpec."""
    executor = "" if precision == row.precision else "openvino"
    return dataclasses.replace(row, precision=precision, executor=executor)


def with_view(row: BackboneSpec, view: Mapping[str, str]) -> BackboneSpec:
    """A row of data with some of its settings `crop`, `margin`, `detector` and `flip` replaced.

    Raises
    ------
    BackboneError, DetectorError : they do not go together, or are not what they must be.
    """
    _, _, fit = row.crop.partition(", ")
    layer = row.layer.removesuffix(MIRRORED)
    plain = dataclasses.replace(row, crop=f"{WHOLE}, {fit}", alignment=UNALIGNED, detector=UNALIGNED, layer=layer)
    return _viewed(plain, **{**row.view, **view})


def _viewed(row: BackboneSpec, *, flip: str = "no", **view: str) -> BackboneSpec:
    """A row of data that looks at the middle of a picture or at faces in it, or at the mirror image as well."""
    if flip not in ("yes", "no") or (flip == "yes" and row.dtype == "uint8"):
        raise BackboneError(f"flip of {row.name} must be {'no' if row.dtype == 'uint8' else 'yes or no'}, found {flip}")
    row = _cropped(row, **view)
    return dataclasses.replace(row, layer=row.layer + MIRRORED) if flip == "yes" else row


def _cropped(row: BackboneSpec, *, crop: str = "", margin: str = "", detector: str = "") -> BackboneSpec:
    crop = crop or (_DEFAULT_TEMPLATE if detector else "100")
    if crop in TEMPLATES:
        if not ((margin.removeprefix("-").isdecimal() and int(margin) in _MARGINS) or not margin):
            raise BackboneError(
                f"margin of {row.name} must be a percentage from {_MARGINS[0]} to {_MARGINS[-1]}, found {margin}"
            )
        found_by = str(parse_detector(detector or DEFAULT_DETECTOR))
        return dataclasses.replace(row, alignment=join_alignment(crop, int(margin or 0)), detector=found_by)
    if not (crop.isdecimal() and int(crop) in _CROPS):
        raise BackboneError(
            f"crop of {row.name} must be a percentage from {_CROPS[0]} to {_CROPS[-1]}, or one of "
            f"{', '.join(TEMPLATES)}; found {crop}"
        )
    if margin or detector:
        raise BackboneError(
            f"{row.name} with a {'detector' if detector else 'margin'} needs faces that are aligned: "
            f"crop must be one of {', '.join(TEMPLATES)}; found {crop}"
        )
    return row if int(crop) == 100 else dataclasses.replace(row, crop=row.crop.replace(WHOLE, f"central {int(crop)}%"))


def on_device(row: BackboneSpec, device: str) -> BackboneSpec:
    """A row of data that is to run on a device, one of DEVICES.

    Raises
    ------
    BackboneError : there is no such device, or none such for its runtime.
    """
    able = DEVICES if row.runs_on in (*ON_GPUS, AUTO) else (AUTO, CPU)
    if device in able:
        return dataclasses.replace(row, device=device)
    why = f": {row.runs_on} computes on the CPU alone here" if device == CUDA else ""
    raise BackboneError(f"device of {row.name} must be {' or '.join(able)}, found {device}{why}")


def _run_by(row: BackboneSpec, *, runtime: str = "", precision: str = "", device: str = AUTO) -> BackboneSpec:
    """A row of data as it is executed; by the reference, in fp32 and on a GPU if there is one unless they are named."""
    return on_device(_executed(row, runtime, precision), device)


def _executed(row: BackboneSpec, runtime: str, precision: str) -> BackboneSpec:
    others = EXECUTORS.get(row.runtime, ())
    on = f" on {row.weights.name}" if row.weights else ""
    if runtime not in ("", AUTO, row.runtime, *others):
        able = " or ".join([row.runtime, *others, AUTO])
        raise BackboneError(f"runtime of {row.name}{on} must be {able}, found {runtime}")
    if precision in ("", row.precision):
        return dataclasses.replace(row, executor=runtime if others and runtime != row.runtime else "")
    if not others or precision not in PRECISIONS:
        able = " or ".join(PRECISIONS) if others else row.precision
        raise BackboneError(f"precision of {row.name}{on} must be {able}, found {precision}")
    if runtime == row.runtime:
        raise BackboneError(f"{precision} is for OpenVINO alone, found runtime={runtime}: leave out one of the two")
    return in_precision(row, precision)


def with_settings(names: Sequence[str], settings: Mapping[str, str]) -> list[str]:
    """Write settings that were given for all backbones into their names; "+" may join several.

    Raises
    ------
    BackboneError : a name that has one of them already.
    """
    for part in (part for name in names for part in split_name(name)):
        if twice := settings.keys() & _split_settings(part)[1].keys():
            raise BackboneError(f"{part} has a {' and a '.join(sorted(twice))} of its own: leave it out here or there")
    added = "".join(f",{key}={value}" for key, value in settings.items())
    return ["+".join(part + added for part in split_name(name)) for name in names] if added else list(names)


def with_runtime(name: str, runtime: str) -> str:
    """A name whose runtime=auto is replaced by the runtime that was found."""
    return re.sub(rf",runtime={AUTO}(?=,[a-z_]+=|$)", f",runtime={runtime}", name)


def with_weights(names: Sequence[str], weights: Sequence[str]) -> list[str]:
    """Write weights that were given apart into the names of backbones, as their setting `weights`.

    Parameters
    ----------
    names : of backbones, with settings; "+" may join several.
    weights : each NAME=FILE, or FILE where only one of the backbones takes any, or seeded:SEED for all that do.

    Raises
    ------
    BackboneError : weights for no backbone that is named, or for several at once.
    """
    stems = [part.partition(",")[0] for name in names for part in split_name(name)]
    takers = [*dict.fromkeys(stem for stem in stems if stem in BACKBONES and BACKBONES[stem].files)]
    chosen: dict[str, str] = {}
    for value in weights:
        name, _, file = value.partition("=")
        if name in BACKBONES:
            value, of = file, [name] if name in takers else []
        else:
            of = takers
        if not of or (len(of) > 1 and not value.startswith(SEEDED)):
            found = " and ".join(takers) or "no such backbone"
            raise BackboneError(f"weights {value} are for one backbone of deepface, found {found}: give NAME={value}")
        if twice := chosen.keys() & set(of):
            raise BackboneError(f"weights of {' and '.join(sorted(twice))} are given twice: leave out {value}")
        chosen |= dict.fromkeys(of, value)
    return ["+".join(_with_setting(part, chosen) for part in split_name(name)) for name in names]


def _with_setting(name: str, chosen: dict[str, str]) -> str:
    stem, comma, settings = name.partition(",")
    if stem not in chosen:
        return name
    if "weights" in _split_settings(name)[1]:
        raise BackboneError(f"{name} has weights of its own: leave out {chosen[stem]}")
    return f"{stem},weights={chosen[stem]}{comma}{settings}"


def split_name(name: str, held: Collection[str] = ()) -> list[str]:
    """The names that "+" joins, or the one that has a "+" within.

    Parameters
    ----------
    held : further names of backbones, beside those of `BACKBONES` and of .onnx files.
    """
    parts = name.split("+")
    stems = [part.partition(",")[0] for part in parts]
    known = all(
        stem in BACKBONES or part in held or stem.lower().endswith(".onnx")
        for part, stem in zip(parts, stems, strict=True)
    )
    return parts if known else [name]


def _row(name: str) -> BackboneSpec:
    if name in BACKBONES:
        return BACKBONES[name]
    raise BackboneError(f"unknown backbone {name!r}; known are {', '.join(BACKBONES)}, and the path of any .onnx file")


def _named_spec(row: BackboneSpec, settings: dict[str, Any]) -> BackboneSpec:
    """A row of data with its settings, and its weight file if it has one."""
    if not row.files:
        if settings:
            raise BackboneError(f"{row.name} has no settings, found {', '.join(settings)}: leave them out")
        return row
    unknown = sorted(set(settings) - set(_ROW_KEYS))
    if unknown:
        raise BackboneError(f"unknown settings {', '.join(unknown)} for {row.name}; known: {', '.join(_ROW_KEYS)}")
    for key in settings.keys() & _CHOICES.keys():
        if settings[key] not in _CHOICES[key]:
            raise BackboneError(f"{key} of {row.name} must be one of {', '.join(_CHOICES[key])}; found {settings[key]}")
    weights = settings.pop("weights", None)
    row = dataclasses.replace(row, **settings)
    if weights is None:
        return _on_file(row, require_weights(row.name, row.files))
    if weights.startswith(SEEDED):
        return _seeded(row, weights.removeprefix(SEEDED))
    path = Path(weights).expanduser()
    if not path.is_file():
        raise BackboneError(f"no file {path}: weights of {row.name} are a file or {SEEDED}SEED")
    return dataclasses.replace(_on_file(row, path), given=True, licence="unknown: the file was given by hand", url="")


def _on_file(row: BackboneSpec, path: Path) -> BackboneSpec:
    runtime = _RUNTIMES.get(path.suffix.lower())
    if runtime is None or (runtime == "keras" and not row.graph):
        known = " or ".join(_RUNTIMES) if row.graph else ".onnx"
        raise BackboneError(f"weights of {row.name} must be a file ending in {known}; found {path.name}")
    if runtime == "keras" and is_seeded(path):
        raise BackboneError(f"{path} holds random numbers, not trained weights: say weights={SEEDED}SEED in its place")
    return dataclasses.replace(row, weights=path, runtime=runtime)


def _seeded(row: BackboneSpec, seed: str | int) -> BackboneSpec:
    if not str(seed).isdecimal() or int(seed) > _LARGEST_SEED:
        raise BackboneError(f"a seed must be a whole number up to 2^63 - 1, as in weights={SEEDED}0; found {seed!r}")
    if not row.graph:
        raise BackboneError(f"{row.name} cannot be seeded: deepface does not define its network, it comes as one file")
    return dataclasses.replace(row, seed=int(seed), runtime="keras", licence="none: drawn at random", url="")


def _split_settings(name: str) -> tuple[str, dict[str, Any]]:
    stem, *pairs = re.split(r",(?=[a-z_]+=)", name)
    settings: dict[str, Any] = dict(pair.split("=", 1) for pair in pairs)
    for key in ("dim", "input_size"):
        if key in settings:
            numbers = [int(number) for number in re.findall(r"\d+", settings[key])]
            settings[key] = numbers or settings[key]  # text without a number is refused by `_shape`
    return stem, settings


def _onnx_spec(path: Path, settings: dict[str, Any]) -> BackboneSpec:
    if not path.is_file():
        raise BackboneError(f"no file {path}: give the path of an ONNX model")
    sidecar = path.with_suffix(".json")
    fields = {**_read_sidecar(sidecar), **settings}
    unknown = sorted(set(fields) - set(_SIDECAR_KEYS))
    if unknown:
        raise BackboneError(f"unknown settings {', '.join(unknown)} for {path.name}; known: {', '.join(_SIDECAR_KEYS)}")
    for key in ("channel_order", "normalization", "layout"):
        if key in fields or key != "layout":  # which the graph tells
            _require_choice(path, fields, key)
    return BackboneSpec(
        name=_own_name(path, str(fields.get("name", path.stem))),
        runtime="onnx",
        dim=_shape(path, fields, "dim", 1),
        input_size=_shape(path, fields, "input_size", 2),  # type: ignore[arg-type]
        channel_order=fields["channel_order"],
        normalization=fields["normalization"],
        crop=f"{WHOLE}, letterbox, bilinear",
        layout=fields.get("layout", ""),
        weights=path,
        given=True,
        licence=str(fields.get("licence", "unknown")),
        url=str(fields.get("url", "")),
    )


def _own_name(path: Path, name: str) -> str:
    """The name of a user's own file in tables, where it must be seen, and not be taken for the dummy or as seeded."""
    if name.isprintable() and name.strip() not in ("", "-") and SEEDED not in name:
        return name
    sidecar = path.with_suffix(".json").name
    raise BackboneError(f"{path.name} cannot be called {name!r}: give it a plain name in {sidecar} or as name=NAME")


def _read_sidecar(path: Path) -> dict[str, Any]:
    if not path.is_file():
        return {}
    try:
        fields = json.loads(path.read_text("utf-8"))
    except (OSError, ValueError) as error:
        raise BackboneError(f"{path} is not readable JSON ({error}): mend it or remove it") from None
    if not isinstance(fields, dict):
        raise BackboneError(f"{path} must hold a JSON object with the keys {', '.join(_SIDECAR_KEYS)}")
    return fields


def _require_choice(path: Path, fields: dict[str, Any], key: str) -> None:
    found, choices = fields.get(key), _CHOICES[key]
    if found in choices:
        return
    raise BackboneError(
        f"{path.name} needs {key} (one of {', '.join(choices)}), found {found}: a graph does not tell it. "
        f"Write it into {path.with_suffix('.json').name} or add it: --backbone {path.name},{key}={choices[0]}"
    )


def _shape(path: Path, fields: dict[str, Any], key: str, sides: int) -> tuple[int, ...]:
    """A shape from a sidecar; () where it says nothing, to be read from the graph."""
    found = fields.get(key, [])
    numbers = [found] if isinstance(found, int) else found
    if isinstance(numbers, list) and all(isinstance(n, int) and n > 0 for n in numbers):
        if not numbers or len(numbers) == sides:
            return tuple(numbers)
        if len(numbers) == 1:
            return tuple(numbers * sides)
    raise BackboneError(f"{key} of {path.name} must be {sides} positive whole number(s), found {found}")
