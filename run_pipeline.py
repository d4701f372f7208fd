"""faceprobe: the command line. Each command checks its options, makes one library call and prints."""

import contextlib
import functools
import gc
import json
import os
import shlex
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, NoReturn

import click

from data.errors import BackboneError, FaceprobeError, ManifestError
from data.remote import Place, is_remote, place

if TYPE_CHECKING:
    import pandas as pd

    from embedder.engine import Engine
    from embedder.faces.finder import FinderSettings
    from embedder.int8 import Int8Model
    from embedder.report import ExtractReport
    from embedder.spec import EmbeddingSpec
    from embedder.store import EmbeddingStore
    from heads.bundle import Bundle
    from heads.cell import Cell
    from heads.compare import Comparison
    from heads.dataset import AnySpec, Dataset, Rows
    from heads.report.run import Run
    from heads.robustness import Load
    from heads.score.job import FileOutput, Pipe, Progress
    from heads.score.outputs import Table
    from heads.score.rows import Scorer
    from heads.score.watch import Added
    from heads.tasks import Task


class _PlaceType(click.Path):
    """A path of this machine, or s3://BUCKET/KEY, of which pathlib would drop a slash."""

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Any:
        return place(value) if is_remote(value) else super().convert(value, param, ctx)


_PATH = click.Path(path_type=Path, readable=False)  # the library says what cannot be read, and why
_PLACE = _PlaceType(path_type=Path, readable=False)
_COUNT, _FOLDS = click.IntRange(min=0), click.IntRange(min=1)
_HEADS_HELP = "dense, shared (one net for all tasks), linear, ridge; settings after a colon: dense:loss=coral."
_PEERS_HELP = " To compare with: svm, knn, searched:seconds=60, or an estimator such as sklearn.svm.LinearSVR."

_FOR_PEOPLE = ("summary", "gallery", "annotate", "sort_into")  # options of `score` that make something of its rows
_CHOOSING = ("faces", "min_face", "min_confidence", "min_quality")  # options that choose among faces found
_DEMO_TASKS = ("age", "gender", "ethnicity")

EXIT_FAILURES, EXIT_USER, EXIT_INTERRUPTED = 1, 2, 130

_weights_option = click.option(
    "--weights", multiple=True, help="FILE or seeded:SEED in place of a backbone's own; NAME=FILE of several."
)
_device_option = click.option(
    "--device",
    type=click.Choice(["auto", "cpu", "cuda"]),  # embedder.spec.DEVICES, which is not loaded for --help
    default="auto",
    show_default=True,
    help="Where backbones run; auto: an NVIDIA GPU, if there is one and a library for it.",
)
_max_failures_option = click.option(
    "--max-failures",
    type=_COUNT,
    default=0,
    show_default=True,
    help="Exit with 1 if more images fail; no face is no failure.",
)


_view_options = (
    click.option("--detector", help="What finds the faces: hog, cnn, retinaface ... (`faces detectors` lists them)."),
    click.option("--crop", help="Template for faces: chip, arcface, eyes, box. Else the percentage of a picture seen."),
    click.option("--margin", type=int, help="Show so many percent more around the template."),
)


def _face_options(faces: str) -> Callable[[Callable[..., None]], Callable[..., None]]:
    """The options by which commands look for faces; `faces` is what --faces is where it is not given."""
    options = [
        *_view_options,
        click.option(
            "--faces",
            type=click.Choice(["largest", "all"]),
            help=f"Of those found in a picture.  [default: {faces}]",
        ),
        click.option("--min-face", type=float, help="Only faces of so many pixels on a side."),
        click.option("--min-confidence", type=float, help="Only faces of which the detector is so sure."),
        click.option("--min-quality", type=click.FloatRange(0, 1), help="Only faces that can be seen so well, 0 to 1."),
    ]
    return lambda command: functools.reduce(lambda wrapped, option: option(wrapped), reversed(options), command)


def _view(options: dict[str, Any]) -> dict[str, str]:
    """What `--crop`, `--margin` and `--detector` say, as settings of a backbone."""
    return {name: str(options[name]) for name in ("crop", "margin", "detector") if options[name] is not None}


def _finder_settings(options: dict[str, Any], detector: str | None, faces: str) -> "FinderSettings | None":
    """As `_looking_for`; None if no detector looks."""
    if detector:
        return _looking_for(options, detector, faces)
    idle = [f"--{name.replace('_', '-')}" for name in _CHOOSING if options[name] is not None]
    if idle:
        raise FaceprobeError(f"{' and '.join(idle)}: no faces are looked for to choose among: add --detector hog")
    return None


def _looking_for(options: dict[str, Any], detector: str, faces: str) -> "FinderSettings":
    """Which faces to look for with a detector, from `_face_options`; `faces` as there."""
    from embedder.faces.choice import Choice
    from embedder.faces.detect import parse_detector
    from embedder.faces.finder import FinderSettings

    given = {name: options[name] for name in _CHOOSING if options[name] is not None}
    return FinderSettings(parse_detector(detector), Choice(**{"faces": faces, **given}))


class _InOrder(click.Group):
    """Lists its commands in the order in which they are used."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        return list(self.commands)


@click.group(cls=_InOrder, context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100})
@click.version_option(package_name="faceprobe", message="%(prog)s %(version)s")
def cli() -> None:
    """Turn frozen face-recognition backbones into face-attribute models.

    \b
    The way through, from a folder of labelled faces to scores for another; `demo` runs it all on drawn faces:
      faceprobe demo
      faceprobe weights fetch ArcFace
      faceprobe index faces/ --dataset utkface -o manifest.csv
      faceprobe extract manifest.csv --backbone ArcFace --backbone Dlib --crop chip --store store
      faceprobe store verify store
      faceprobe compare manifest.csv --store store --backbone ArcFace --backbone Dlib --crop chip -o runs/first
      faceprobe train manifest.csv --store store --backbone ArcFace --crop chip -o bundle
      faceprobe faces show photos/ -o faces.html
      faceprobe score photos/ --bundle bundle -o scores.csv
      faceprobe export-onnx bundle -o model.onnx
    """


@cli.command(short_help="List images with their labels.")
@click.argument("folder", type=_PATH)
@click.option("--dataset", default="folder", show_default=True, help="utkface (labels in names), or folder (none).")
@click.option("-o", "--output", type=_PATH, required=True, help="A .csv or .parquet to write.")
def index(folder: Path, dataset: str, output: Path) -> None:
    """List the images of FOLDER with their labels.

    Files that cannot be used go to a second table, with a reason each: manifest.rejected.csv beside manifest.csv.

    \b
    Examples:
      faceprobe index UTKFace/ --dataset utkface -o manifest.csv
      faceprobe index photos/ -o photos.parquet
    """
    from data.manifest import write_manifest
    from data.readers import READERS

    if dataset not in READERS:
        raise FaceprobeError(f"unknown dataset {dataset!r}: known are {', '.join(READERS)}")
    _check_output(output, (".csv", ".parquet"))
    with _progress("indexing", "file") as on_progress:
        manifest, rejected = READERS[dataset](folder, on_progress=on_progress)
    write_manifest(manifest, output)
    rejected_path = output.with_suffix(".rejected.csv")
    _write_csv(rejected, rejected_path)
    frame = manifest.frame
    click.echo(f"{len(frame):,} images in {output}, {_count(len(rejected), 'file')} rejected in {rejected_path}")
    for path, reason in rejected[["path", "reason"]].head(5).itertuples(index=False):
        click.echo(f"  rejected {path}: {reason}")
    copies = int(frame["sha256"].duplicated().sum())
    click.echo(f"{_count(copies, 'copy')}: images with the bytes of another")
    if "age" in frame:
        from data.labels import DEFAULT_AGE_RANGE

        low, high = DEFAULT_AGE_RANGE
        outside = (~frame["age"].between(low, high) & frame["age"].notna()).sum()
        click.echo(f"ages {frame['age'].min():.0f} to {frame['age'].max():.0f}; {outside:,} outside {low} to {high}")
    for column in ("gender", "ethnicity"):
        if column in frame:
            counts = ", ".join(f"{name} {n:,}" for name, n in frame[column].value_counts().items())
            click.echo(f"{column}: {counts}")


@cli.command(short_help="Embed images once, into a store.")
@click.argument("source", type=_PLACE)
@click.option(
    "--backbone", "names", multiple=True, required=True, help="ArcFace, Facenet, Dlib ... or an .onnx file; repeatable."
)
@_weights_option
@_face_options("largest")
@click.option("--flip", is_flag=True, help="Average each embedding with the mirror image's.")
@click.option("--runtime", help="onnx, keras (.h5 files), openvino, or auto: the fastest here. Else onnx or keras.")
@click.option("--precision", help="fp16, or int8, calibrated once on some of these images; by openvino. Else fp32.")
@_device_option
@click.option(
    "--min-cosine",
    type=click.FloatRange(-1, 1),
    default=0.95,
    show_default=True,
    help="Refuse int8 if an image's embedding, less the mean one, is farther from fp32 than this.",
)
@click.option("--store", "store_path", type=_PLACE, required=True, help="Embedding store to fill.")
@click.option(
    "--workers",
    type=click.IntRange(min=1),
    help="Embed in N processes; one that dies is replaced. Else in this one; with --detector one per core.",
)
@click.option("--shard", metavar="I/N", help="Only the I-th of N parts of the images, for job I of N.")
@click.option("--retry-failed", is_flag=True, help="Try images again that failed before.")
@click.option("--anonymise", is_flag=True, help="Keep no names of files in the store, only hashes.")
@_max_failures_option
@click.option("--log-json", type=_PATH, help="Append what happened as JSON lines, for machines.")
def extract(
    source: Place,
    names: tuple[str, ...],
    store_path: Place,
    workers: int | None,
    shard: str | None,
    max_failures: int,
    log_json: Path | None,
    retry_failed: bool,
    anonymise: bool,
    **options: Any,
) -> None:
    """Embed the images of SOURCE, a manifest or a folder, into a store.

    Each image is read once for all backbones, and gets one status. What the store already holds is not computed
    again, so a stopped run is continued by the same command, and a second run does only what is new. Any number of
    jobs may fill one store at once; with --shard each does its own part, which new files do not change.

    Pictures are taken for faces as they are. With --detector faces are found in them, once for all backbones, and
    aligned to a template; --crop chip without a detector says that they are such crops already, as UTKFace's are.

    An ONNX file needs a sidecar FILE.json beside it, or its settings after commas. `faceprobe weights list` shows the
    named backbones and which of them work now; --weights seeded:0 runs one on random numbers, for a dry run only.

    \b
    Examples:
      faceprobe extract manifest.csv --backbone ArcFace --backbone Facenet --store store
      faceprobe extract photos/ --backbone Dlib --store store --workers 8
      faceprobe extract photos/ --backbone Dlib --store store --shard 3/16
      faceprobe extract manifest.csv --backbone ArcFace --weights seeded:0 --store store
      faceprobe extract manifest.csv --backbone ArcFace,normalization=base --backbone Dlib --store store
      faceprobe extract manifest.csv --backbone ArcFace --crop 80 --flip --store store
      faceprobe extract photos/ --backbone Dlib --detector hog --store store
      faceprobe extract photos/ --backbone Dlib --detector cnn --crop arcface --faces all --min-face 40 --store store
      faceprobe extract UTKFace/ --backbone Dlib --crop chip --store store
      faceprobe extract photos/ --backbone net.onnx --store store
      faceprobe extract photos/ --backbone net.onnx --runtime auto --store store
      faceprobe extract photos/ --backbone net.onnx --precision int8 --store store
      faceprobe extract photos/ --backbone net.onnx --device cuda --store store
      faceprobe extract photos/ --backbone net.onnx,channel_order=RGB,normalization=ArcFace --store store

    \b
    Exit codes: 0, 1 when more than --max-failures images failed, 2 for what you can mend, 130 after Ctrl-C.
    """
    from data.manifest import list_images
    from embedder.backbone import load_backbone, usable_cores
    from embedder.extract import extract as run
    from embedder.faces.finder import load_finder
    from embedder.int8 import require_one_int8
    from embedder.report import failed_among
    from embedder.store import open_store
    from embedder.workers import Workers

    if log_json:
        _check_output(log_json)
    part = _shard(shard) if shard else None
    images, ignored = list_images(source)
    settings = _finder_settings(options, options["detector"], "largest")
    chosen = _backbones_asked_for(names, images, store_path, options)
    with contextlib.ExitStack() as stack:
        backbones = [stack.enter_context(load_backbone(name)) for name in chosen]
        for note in filter(None, (backbone.note for backbone in backbones)):
            click.echo(note)
        finder = stack.enter_context(load_finder(settings)) if settings else None
        store = open_store(store_path, create=True)
        for backbone in backbones:
            require_one_int8(backbone.spec, store.specs().values())
        on_progress = stack.enter_context(_progress("embedding", "img", total=len(images)))
        processes = workers or (usable_cores() if finder else 0)
        engine = Workers(backbones, processes, finder=finder) if processes else None
        asked: dict[str, Any] = {"shard": part, "retry_failed": retry_failed, "anonymise": anonymise}
        report = run(images, backbones, store, finder=finder, engine=engine, on_progress=on_progress, **asked)
    specs = [each.spec for each in ([finder] if finder else []) + backbones]
    if log_json:  # before printing: whoever reads that may have gone
        _append_json_lines(log_json, _extract_events(report, specs))
    if ignored:
        click.echo(f"{_count(ignored, 'file')} ignored: not named like images")
    _print_extract(report, specs)
    if report.interrupted:
        _end_interrupted(f"what was done is in {store_path}, the same command goes on")
    if failed_among(report.statuses) > max_failures:
        sys.exit(EXIT_FAILURES)


def _backbones_asked_for(
    names: Sequence[str], images: "pd.DataFrame", store_path: Place, options: dict[str, Any]
) -> list[str]:
    """The names of backbones with all their settings; what takes long to make of weights is made, and said."""
    from embedder.backbone import drawn_weights, settle_runtime
    from embedder.int8 import int8_file
    from embedder.quantize import require_int8
    from embedder.resolve import resolve_backbone, with_settings, with_weights
    from embedder.seeded import is_made
    from embedder.spec import AUTO, INT8
    from embedder.store import open_store

    given = _view(options) | {name: options[name] for name in ("runtime", "precision") if options[name]}
    given |= {"flip": "yes"} if options["flip"] else {}
    given |= {"device": options["device"]} if options["device"] != AUTO else {}
    chosen = [*dict.fromkeys(with_settings(with_weights(names, options["weights"]), given))]
    rows = [resolve_backbone(name) for name in chosen]
    for row in rows:
        if row.seed is not None and not is_made(row, row.seed):
            click.echo(f"drawing random weights of {row.name}, once: half a minute or so")
        if row.precision == INT8:
            if options["detector"] and not int8_file(drawn_weights(row)).exists():
                raise FaceprobeError(
                    f"{row.name} in int8 is calibrated on crops of faces, found photographs: run `extract "
                    f"--precision {INT8}` on a folder of crops once, without --detector; then this command again"
                )
            _print_int8(row.name, require_int8(row, images, min_cosine=options["min_cosine"]))
    begun = any(row.executor == AUTO for row in rows) and (store_path / "store.json").is_file()
    held = open_store(store_path).specs() if begun else {}
    return [settle_runtime(name, held) for name in chosen]


def _print_int8(name: str, model: "Int8Model") -> None:
    calibration, checked = model.facts["calibration"], model.facts["checked"]
    click.echo(
        f"{name} in {model.precision}, calibrated on {_count(calibration['images'], 'image')} "
        f"({calibration['sha256'][:16]}); cosine to fp32 on {checked['images']:,} others, mean embedding subtracted: "
        f"lowest {checked['lowest']:.4f}, mean {checked['mean']:.4f}; as they are: lowest "
        f"{checked['plain_lowest']:.4f}, mean {checked['plain_mean']:.4f}"
    )


def _shard(text: str) -> tuple[int, int]:
    """Read "3/16"."""
    i, slash, n = text.partition("/")
    if not (slash and i.isdecimal() and n.isdecimal() and 1 <= int(i) <= int(n)):
        raise FaceprobeError(f"expected --shard as I/N with I from 1 to N, such as 3/16; found {text}")
    return int(i), int(n)


def _print_extract(report: "ExtractReport", specs: "list[EmbeddingSpec]") -> None:
    changes = [
        _count(n, "copy") if change == "copy" else f"{n:,} {change}" for change, n in report.changes.items() if n
    ]
    not_reached = report.statuses.get("not_reached", 0)
    changes += [f"{not_reached:,} not reached"] if not_reached else []
    gone = f"; {_count(report.gone, 'file')} that the store knows no longer there" if report.gone else ""
    if not len(report):
        click.echo("no image is in this shard")
        return
    click.echo(f"{_count(len(report), 'image')}: {', '.join(changes)}{gone}")
    _print_statuses(report.statuses, report.failures[["image_id", "status", "reason"]])
    if report.skipped:
        click.echo(f"{report.skipped:,} of them failed before and were not tried again; --retry-failed does")
    for spec in specs:
        shape = " x ".join(map(str, spec.dim)) + ("-d" if len(spec.dim) == 1 else "")
        done = "found" if spec.holds_faces else "embedded"
        click.echo(f"{spec.name} {spec.fingerprint} ({shape}): {report.embedded[spec.fingerprint]:,} {done}")
    if not report.read and not not_reached:
        click.echo(f"nothing to do: the store has it all ({report.seconds:.1f} s)")
        return
    names = {spec.fingerprint: spec.name if spec.holds_faces else f"infer {spec.name}" for spec in specs}
    infer = ", ".join(f"{names[print_]} {seconds:.1f}" for print_, seconds in report.infer_seconds.items())
    click.echo(
        f"{report.read:,} read in {report.seconds:.1f} s, {report.read / report.seconds:,.0f} images/s; "
        f"seconds: {infer or 'infer 0'}, write {report.write_seconds:.1f}; beside it in threads: "
        f"read {report.read_seconds:.1f}, decode {report.decode_seconds:.1f}"
    )


def _print_statuses(statuses: dict[str, int], failed: Any, say: Callable[[str], object] = click.echo) -> None:
    """Say how often each status was there, and name some failures: a table of names, statuses and reasons."""
    say("status: " + ", ".join(f"{status} {count:,}" for status, count in statuses.items()))
    for name, status, reason in failed.head(5).itertuples(index=False):
        say(f"  {status} {name}: {reason}")
    more = sum(statuses.values()) - statuses.get("ok", 0) - 5
    if more > 0 and len(failed):
        say(f"  ... and {more:,} more")


def _end_interrupted(said: str) -> NoReturn:
    """End after Ctrl-C."""
    click.echo(f"interrupted; {said}", err=True)
    _end_at_once(EXIT_INTERRUPTED)


def _end_at_once(code: int) -> NoReturn:
    """End without waiting for threads, which may hang on a drive that is gone."""
    sys.stdout.flush()
    gc.collect()  # semaphores of worker processes, which their tracker would complain of
    os._exit(code)


def _extract_events(report: "ExtractReport", specs: "list[EmbeddingSpec]") -> Iterator[dict[str, Any]]:
    for image_id, status, reason in report.failures[["image_id", "status", "reason"]].itertuples(index=False):
        yield {"event": "failure", "image_id": image_id, "status": status, "reason": reason}
    yield {
        "event": "summary",
        "command": "extract",
        "images": len(report),
        "changes": report.changes,
        "read": report.read,
        "gone": report.gone,
        "statuses": report.statuses,
        "interrupted": report.interrupted,
        "backbones": [
            {
                "name": spec.name,
                "fingerprint": spec.fingerprint,
                "embedded": report.embedded[spec.fingerprint],
                "infer_seconds": report.infer_seconds.get(spec.fingerprint, 0.0),
            }
            for spec in specs
        ],
        "seconds": report.seconds,
        "read_seconds": report.read_seconds,
        "decode_seconds": report.decode_seconds,
        "write_seconds": report.write_seconds,
    }


def _task_options(command: Callable[..., None]) -> Callable[..., None]:
    """The options by which `compare` and `train` choose embeddings, rows and tasks."""
    options = [
        _weights_option,
        *_view_options,
        click.option(
            "--store", "store_path", type=_PLACE, required=True, help="Embedding store that `extract` filled."
        ),
        click.option(
            "--task", "tasks", multiple=True, help="age, gender, ethnicity, age_group, any column; repeatable."
        ),
        click.option("--kind", "kinds", multiple=True, help="Of a further column: NAME=class or NAME=number."),
        click.option("--age-range", default="0-100", show_default=True, help="Ages that the age task learns."),
        click.option("--age-groups", default="ten", show_default=True, help="ten, five, twenty-years, or 0,13,18,65."),
        click.option(
            "--folds",
            type=_FOLDS,
            default=5,
            show_default=True,
            help="How often to split the rows; 1 for a holdout of 60/20/20.",
        ),
        click.option(
            "--split",
            "rule",
            type=click.Choice(["subject", "near-copy", "random"]),
            help="What stays together; subject if the manifest knows any, else near-copy. Random is for contrast.",
        ),
        click.option(
            "--repeats", type=click.IntRange(min=1), default=1, show_default=True, help="Split anew so many times."
        ),
        click.option(
            "--split-file", type=_PATH, help="A split.csv, or published lists: a CSV, a folder of train.txt ..."
        ),
        click.option(
            "--seed", type=_COUNT, default=0, show_default=True, help="What the split and the heads start from."
        ),
        click.option(
            "--balance",
            "weighting",
            type=click.Choice(["none", "inverse", "sqrt-inverse", "lds"]),
            default="none",
            show_default=True,
            help="How training rows of rare labels count for more; lds smooths over neighbouring ages.",
        ),
        click.option("--cap", help="Most training rows of one age, or of some: 200, or 200:0,1,25."),
        click.option("--train-ages", help="Ages to train on, such as 21-75; validated and tested is on all."),
    ]
    for option in reversed(options):
        command = option(command)
    return command


@cli.command(short_help="Compare backbones and heads in one table.")
@click.argument("manifest", type=_PATH)
@click.option(
    "--backbone",
    "names",
    multiple=True,
    required=True,
    help="As in `extract`, or a name in the store; A+B side by side.",
)
@click.option(
    "--head", "heads", multiple=True, default=("dense", "linear"), show_default=True, help=_HEADS_HELP + _PEERS_HELP
)
@click.option(
    "--search",
    type=click.FloatRange(min=1),
    help="Seconds per backbone and task to search for a dense head's settings.",
)
@click.option(
    "--seeds",
    "n_seeds",
    type=click.IntRange(min=1),
    default=1,
    show_default=True,
    help="Train each head so often, from --seed on: figures and verdicts then count in the luck of the draw; 3 do.",
)
@click.option(
    "--robustness",
    "n_images",
    type=_COUNT,
    default=0,
    metavar="N",
    help="Corrupt up to N test images in five ways, embed them again, and test the best heads on them.",
)
@click.option("--no-leakage", is_flag=True, help="Leave out what a plain random split would make of the best heads.")
@click.option("--test", "test_path", type=_PATH, help="Another manifest, in the same store, to test on as well.")
@click.option("--pictures", is_flag=True, help="Show the worst mistakes in report.html, which else names no image.")
@click.option("-o", "--output", type=_PATH, required=True, help="Folder for report.html, results.csv and the rest.")
@_task_options
def compare(
    manifest: Path,
    names: tuple[str, ...],
    heads: tuple[str, ...],
    search: float | None,
    n_seeds: int,
    n_images: int,
    no_leakage: bool,
    test_path: Path | None,
    pictures: bool,
    output: Path,
    **options: Any,
) -> None:
    """Compare backbones and heads on the rows of MANIFEST: same rows, same folds, one table.

    Every figure is of rows that the head has not seen, all folds together, with its 95% interval over resampled groups.
    Verdicts say which differences can be shown, corrected for their number. The dummy predicts the median or the most
    frequent class: a head must beat it. Finished parts are kept in OUTPUT, so a stopped comparison is continued by the
    same command.

    OUTPUT then holds report.html (open it in a browser), report.md, figures.csv, verdicts.csv, leakage.csv,
    results.csv (fold by fold), summary.json, split.csv and more.

    \b
    Examples:
      faceprobe compare manifest.csv --store store --backbone ArcFace --backbone Facenet -o runs/first
      faceprobe compare manifest.csv --store store --backbone ArcFace+Facenet --pictures -o runs/both
      faceprobe compare manifest.csv --store store --backbone Dlib --task smiling --head dense -o runs/smile
      faceprobe compare manifest.csv --store store --backbone Dlib --head dense --head dense:loss=l1 -o runs/losses
      faceprobe compare manifest.csv --store store --backbone Dlib --search 60 -o runs/searched
      faceprobe compare utkface.csv --test wiki.csv --store store --backbone Dlib --task age -o runs/cross
      faceprobe compare manifest.csv --store store --backbone Dlib --split-file runs/first/split.csv -o runs/again
      faceprobe compare manifest.csv --store store --backbone Dlib --split random -o runs/leaky
      faceprobe compare manifest.csv --store store --backbone ArcFace --backbone Dlib --seeds 3 -o runs/sure
      faceprobe compare manifest.csv --store store --backbone Dlib --robustness 200 -o runs/robust
      faceprobe compare manifest.csv --store store --backbone Dlib --cap 200:0,1,25 --balance lds -o runs/balanced
    """
    from data.images import printable
    from heads.cell import cells_of
    from heads.compare import compare as run
    from heads.outputs import split_before, write_comparison
    from heads.report.write import PAGE, write_report
    from heads.table import backbone_facts

    if output.exists() and not output.is_dir():
        raise FaceprobeError(f"cannot write into {output}: it is a file, expected a folder")
    heads = (*heads, f"searched:seconds={search:g}") if search else heads
    specs, tasks, data, store = _dataset(manifest, names, options, test_path)
    cells = cells_of(specs, heads, tasks)
    seeds = range(options["seed"], options["seed"] + n_seeds)
    leakage = not no_leakage and options["rule"] != "random"
    load = _backbone_loader(specs, names, options) if n_images else None
    with _progress("training", "cell", total=len(cells)) as on_progress:
        comparison = run(cells, data, output, seeds=seeds, leakage=leakage, on_progress=on_progress)
    if load:
        comparison = _with_robustness(comparison, cells, data, load, most=n_images, seed=options["seed"])
    backbones = backbone_facts(store, specs)
    if split_before(output) not in (None, data.split.hash):
        click.echo(f"the results in {output} were of other rows or another split: these take their place")
    write_comparison(output, comparison, data, backbones)
    places = {"command": shlex.join(["faceprobe", *sys.argv[1:]])}
    places |= {"manifest": str(manifest), "store": str(options["store_path"])}
    places |= {"test manifest": str(test_path)} if test_path else {}
    places = {what: printable(place) for what, place in places.items()}
    write_report(output, comparison, data, _run(tasks, backbones, options, places), pictures=pictures)
    _print_comparison(comparison, data, backbones, test_path)
    for head in heads:
        left = [task.name for task in tasks if not any(c.head == head and task in c.tasks for c in cells)]
        if left:
            click.echo(f"\n{head} does not learn {', '.join(left)}")
    reused = f", {comparison.reused} of {len(cells)} cells from an earlier run" if comparison.reused else ""
    click.echo(f"\nWritten to {output}{reused}")
    click.echo(f"{output / PAGE} shows more" + (", and faces: keep it as you keep the pictures" if pictures else ""))


def _backbone_loader(specs: "list[AnySpec]", names: tuple[str, ...], options: dict[str, Any]) -> "Load":
    """What starts the backbones again; those that cannot be started are said before anything is trained."""
    from embedder.resolve import with_weights
    from heads.robustness import loader, require_loadable

    load = loader(with_weights(names, options["weights"]))
    require_loadable(specs, load)
    return load


def _with_robustness(
    comparison: "Comparison", cells: "list[Cell]", data: "Dataset", load: "Load", *, most: int, seed: int
) -> "Comparison":
    """Add what becomes of the best heads on corrupted images."""
    import dataclasses

    from heads.compare import chosen_cells
    from heads.robustness import measure_robustness

    chosen = chosen_cells(cells, comparison.best_heads)
    with _progress("corrupting", "img") as on_progress:
        found = measure_robustness(chosen, data, load, most=most, seed=seed, on_progress=on_progress)
    return dataclasses.replace(comparison, robustness=found)


def _print_comparison(
    comparison: "Comparison", data: "Dataset", backbones: dict[str, Any], test_path: Path | None
) -> None:
    from heads import summary
    from heads.table import format_table

    _print_rows(data)
    click.echo("\n" + format_table(comparison.figures, comparison.cells, backbones))
    click.echo("\n[low, high]: 95% interval over resampled groups of rows")
    if data.test is not None:
        click.echo(f"\n{test_path}: {len(data.test):,} rows, by the heads of all folds together")
        _print_left_out(data.test)
        click.echo("\n" + format_table(comparison.figures_of_test, comparison.cells, backbones))
    blocks = [summary.best_lines(comparison), summary.verdict_lines(comparison)]
    blocks += [summary.leakage_lines(comparison.leakage)] if comparison.leakage else []
    blocks += [summary.coverage_lines(comparison)]
    blocks += [summary.robustness_lines(comparison.robustness)] if comparison.robustness is not None else []
    for lines in map(list, blocks):
        if lines:
            click.echo("\n" + "\n".join(lines))


def _run(
    tasks: "list[Task]", backbones: dict[str, Any], options: dict[str, Any], places: dict[str, str] | None = None
) -> "Run":
    """What a report says beside its figures."""
    from data.labels import parse_age_groups
    from heads.report.run import Run

    groups = parse_age_groups(options["age_groups"])
    return Run(tasks, groups, backbones, options["seed"], time.strftime("%Y-%m-%d", time.gmtime()), places or {})


def _dataset(
    path: Path, names: tuple[str, ...], options: dict[str, Any], test_path: Path | None = None
) -> "tuple[list[AnySpec], list[Task], Dataset, EmbeddingStore]":
    """What `compare` and `train` work on."""
    from data.labels import parse_age_groups
    from data.manifest import read_manifest
    from embedder.resolve import with_settings, with_weights
    from embedder.store import open_store
    from heads.balance import read_balance
    from heads.dataset import SplitPlan, find_specs, make_dataset
    from heads.tasks import make_tasks

    manifest = read_manifest(path)
    store = open_store(options["store_path"])
    specs = find_specs(store, with_settings(with_weights(names, options["weights"]), _view(options)))
    tasks = make_tasks(
        options["tasks"],
        manifest.frame,
        kinds=_kinds(options["kinds"]),
        age_range=_age_range(options["age_range"]),
        age_groups=parse_age_groups(options["age_groups"]),
    )
    test = read_manifest(test_path) if test_path else None
    if options["split_file"] and options["rule"]:
        raise FaceprobeError("--split-file says what stays together: leave --split out")
    plan = SplitPlan(
        **{name: options[name] for name in ("rule", "folds", "repeats", "seed")}, file=options["split_file"]
    )
    balance = read_balance(options["weighting"], options["cap"], options["train_ages"])
    data = make_dataset(manifest, store, specs, tasks, plan=plan, test=test, balance=balance)
    return specs, tasks, data, store


def _age_range(text: str) -> tuple[int, int]:
    low, dash, high = text.partition("-")
    if not (dash and low.isdecimal() and high.isdecimal()):
        raise FaceprobeError(f"--age-range must be like 0-100, found {text!r}")
    return int(low), int(high)


def _kinds(values: tuple[str, ...]) -> dict[str, Any]:
    for value in values:
        if not value.endswith(("=class", "=number")):
            raise FaceprobeError(f"--kind must be like smiling=class or weight=number, found {value!r}")
    return {name: kind for name, _, kind in (value.rpartition("=") for value in values)}


def _print_rows(data: "Dataset") -> None:
    from heads.balance import Balance

    click.echo(f"{len(data.rows):,} rows, {data.split.rule}; split {data.split.hash[:16]}")
    if data.balance != Balance():
        click.echo(f"  training rows: {data.balance}")
    _print_left_out(data.rows)


def _print_left_out(rows: "Rows") -> None:
    for reason, count in rows.dropped.items():
        click.echo(f"  {count:,} rows of the manifest dropped: {reason}")
    for task, reasons in rows.left_out.items():
        for reason, count in reasons.items():
            click.echo(f"  {task}: {count:,} rows left out, {reason}")


@cli.command(short_help="Train heads, write a bundle.")
@click.argument("manifest", type=_PATH)
@click.option("--backbone", "name", required=True, help="As in `extract`; an .onnx file goes into the bundle.")
@click.option("--head", default="dense", show_default=True, help=_HEADS_HELP)
@click.option("-o", "--output", type=_PATH, required=True, help="Bundle to write, a folder.")
@_task_options
def train(manifest: Path, name: str, head: str, output: Path, **options: Any) -> None:
    """Train heads on the embeddings of MANIFEST and write them as a bundle, with a model card.

    A bundle is safetensors, JSON and a page: no code is stored in it, and none is run when it is loaded.

    \b
    Examples:
      faceprobe train manifest.csv --store store --backbone ArcFace -o bundle
      faceprobe train manifest.csv --store store --backbone net.onnx -o bundle
      faceprobe train UTKFace.csv --store store --backbone ArcFace --crop chip -o bundle
      faceprobe train manifest.csv --store store --backbone Dlib --task age --task gender --task ethnicity -o bundle
    """
    from embedder.resolve import resolve_backbone, with_settings, with_weights
    from embedder.spec import BACKBONES
    from heads.dataset import Concatenation
    from heads.report.write import PAGE
    from heads.table import backbone_facts, format_table
    from heads.train import train as run

    (spec,), tasks, data, store = _dataset(manifest, (name,), options)
    if isinstance(spec, Concatenation):
        raise FaceprobeError(f"{name}: a bundle has heads for one backbone; train on one, or use `compare`")
    (asked_for,) = with_settings(with_weights([name], options["weights"]), _view(options))
    row = None if store.find(asked_for) else resolve_backbone(asked_for)
    backbones = backbone_facts(store, [spec])
    asked = {"head": head, "seed": options["seed"], "own": row, "run": _run(tasks, backbones, options)}
    with _progress("training", "task", total=len(tasks)) as on_progress:
        training = run(spec, tasks, data, output, **asked, on_progress=on_progress)
    _print_rows(data)
    click.echo("\n" + format_table(training.comparison.figures, training.comparison.cells, backbones))
    click.echo("\none fold's head on rows it has not seen, all folds together; [low, high]: 95% interval")
    click.echo(
        f"bundle {training.bundle.id} in {output}: the heads of all folds together; its README.md is a model card, "
        f"its {PAGE} shows more"
    )
    if spec.recorded.get("given") and not training.bundle.backbone_file:
        wanted = f"{spec.name},weights=FILE" if spec.name in BACKBONES else "FILE.onnx"
        click.echo(f"the bundle holds no weights of {spec.name}: score with --backbone {wanted}")


@cli.command(short_help="Predict for the faces in images.")
@click.argument("sources", metavar="SOURCE...", nargs=-1, required=True)
@click.option("--bundle", "bundle_path", type=_PATH, required=True, help="Bundle that `train` wrote.")
@click.option(
    "-o", "--output", type=click.Path(), required=True, help="A .csv, .jsonl or .parquet to write; - for a pipe."
)
@click.option("--format", "form", type=click.Choice(["csv", "jsonl", "parquet"]), help="If the name does not tell it.")
@click.option("--overwrite", is_flag=True, help="Write anew what is there, however it was made.")
@click.option("--watch", is_flag=True, help="Go on with images as they arrive in folders, once each, until Ctrl-C.")
@click.option("--ethnicity", is_flag=True, help="Predict ethnicity too, if the bundle can.")
@click.option(
    "--abstain", type=click.FloatRange(min=0), metavar="YEARS", help="Give no age whose interval is wider than this."
)
@click.option("--backbone", "name", help="For a bundle without weights: the .onnx file it was trained on.")
@_face_options("all")
@click.option("--accept-mismatch", is_flag=True, help="Score though faces are found or cut otherwise; rows say so.")
@_device_option
@click.option("--workers", type=click.IntRange(min=1), help="As of `extract`.")
@click.option("--store", "store_path", type=_PLACE, help="Take known embeddings from here and keep new ones.")
@click.option(
    "--evaluate", "figures_path", type=_PATH, help="A .csv for figures, where a manifest or names tell labels."
)
@click.option("--summary", type=_PATH, help="An .html page of the folder as a whole; its figures in a .csv beside it.")
@click.option("--gallery", type=_PATH, help="An .html page of the photographs with their faces and ages.")
@click.option("--annotate", type=_PATH, help="A folder for copies of the photographs with boxes and ages drawn.")
@click.option("--sort-into", type=_PATH, help="A folder for the photographs, sorted into a folder for each group.")
@click.option("--by", default="age_group", show_default=True, help="What --sort-into sorts by: gender, status ...")
@click.option(
    "--how",
    type=click.Choice(["copy", "hardlink", "symlink"]),
    default="copy",
    show_default=True,
    help="What --sort-into does with photographs.",
)
@_max_failures_option
def score(
    sources: tuple[str, ...],
    bundle_path: Path,
    output: str,
    form: str | None,
    watch: bool,
    figures_path: Path | None,
    **options: Any,
) -> None:
    """Predict age, gender and whatever the bundle knows for the faces in every image of SOURCE.

    SOURCE is a folder, an image, a .zip or .tar (read where it is), a manifest, a quoted pattern, s3://BUCKET/KEY,
    @FILE or - for names in a file or on standard input, one per line or ended by NUL. There may be several.

    Faces are found and cut as those that the bundle was trained on; --detector none says that the images are such crops
    already. A bundle of images that were taken as they are takes them so here. One row per face, in order; an image
    without one has a row with a status and a reason and no prediction. Nine of ten ages lie between age_low and
    age_high, for faces like those the bundle was trained on.

    Rows are written as they are made. A stopped run is continued by the same command, from OUTPUT.job.json; what was
    made otherwise or of other images is refused. With --watch it does not end: what arrives in the folders is scored as
    it does, what stopped goes on where it was, and Ctrl-C or SIGTERM ends it with exit code 0 (or 1).

    \b
    Examples:
      faceprobe score photos/ --bundle bundle -o scores.csv
      faceprobe score photos/ --bundle bundle --faces largest --min-face 60 -o scores.csv
      faceprobe score album.zip anna.jpg "more/**/*.jpg" --bundle bundle -o scores.jsonl
      faceprobe score @names.txt --bundle bundle --abstain 20 -o - --format jsonl
      faceprobe score chips/ --bundle bundle --detector none -o scores.csv
      faceprobe score photos/ --bundle bundle --detector retinaface --accept-mismatch -o scores.csv
      faceprobe score photos/ --bundle bundle --ethnicity -o scores.parquet
      faceprobe score labelled.csv --bundle bundle -o scores.csv --evaluate figures.csv
      faceprobe score photos/ --bundle bundle -o scores.csv --summary folder.html --gallery gallery.html
      faceprobe score photos/ --bundle bundle -o scores.csv --annotate drawn --sort-into albums --by age_group
      faceprobe score inbox/ --bundle bundle -o scores.csv --watch

    \b
    Exit codes: 0, 1 when more than --max-failures images failed, 2 for what you can mend, 130 after Ctrl-C.
    """
    from data.sources import list_sources
    from embedder.report import failed_among
    from heads.bundle import load_bundle
    from heads.score.job import fill
    from heads.score.outputs import Table

    table_format = _table_format(output, form)
    if watch:
        _check_watch(sources, table_format, {**options, "evaluate": figures_path})
        _watch(sources, load_bundle(bundle_path), output, table_format, options)
    _check_for_people(output, options)
    images, ignored = list_sources(sources)
    labels = _labels(sources, images, figures_path, output) if figures_path else None
    bundle = load_bundle(bundle_path)
    say = functools.partial(click.echo, err=output == "-")
    with contextlib.ExitStack() as stack:
        scorer, engine = _scorer(stack, bundle, options)
        table = Table(table_format, scorer.columns)
        rows = _open_rows(output, table, scorer, images, overwrite=options["overwrite"])
        stack.enter_context(rows)
        done, known = rows.progress.done, rows.progress.finished
        on_progress = stack.enter_context(_progress("scoring", "img", total=len(images), initial=done))
        started = time.perf_counter()
        failed = fill(rows, images, scorer, engine=engine, store=options["store_path"], on_progress=on_progress)
        seconds = time.perf_counter() - started
    progress = rows.progress
    if not progress.finished:
        _end_interrupted(
            f"{progress.done:,} of {_count(len(images), 'image')} done in {output}, the same command goes on"
        )
    if ignored:
        say(f"{_count(ignored, 'file')} ignored: not named like images")
    _print_scored(bundle, progress, failed, say)
    if known:
        say(f"nothing to do: {output} has all {_count(progress.rows, 'row')}; --overwrite writes it anew")
    else:
        say(f"{progress.rows:,} rows in {output}, {seconds:.1f} s, {(len(images) - done) / seconds:,.0f} images/s")
    if figures_path:
        _evaluate(Path(output), table, bundle, labels, figures_path)
    if any(options[name] for name in _FOR_PEOPLE):
        _make_for_people(Path(output), table, images, [Path(source) for source in sources], options)
    if failed_among(progress.statuses) > options["max_failures"]:
        sys.exit(EXIT_FAILURES)


def _open_rows(
    output: str, table: "Table", scorer: "Scorer", images: "pd.DataFrame", **how: bool
) -> "FileOutput | Pipe":
    """Where `score` writes to; `how` as of `open_output`."""
    from heads.score.job import Pipe, open_output

    if output == "-":
        return Pipe(table, sys.stdout.buffer)
    return open_output(Path(output), table, scorer.settings, images, **how)


def _print_scored(bundle: "Bundle", progress: "Progress", failed: "pd.DataFrame", say: Callable[[str], object]) -> None:
    """Say what became of images, and what rows are worth."""
    _print_statuses(progress.statuses, failed, say)
    if bundle.embedding.seeded is not None:
        say(f"{bundle.embedding.name}: weights drawn at random, not trained; these predictions mean nothing")


def _check_watch(sources: tuple[str, ...], table_format: str, options: dict[str, Any]) -> None:
    """Refuse before the work what cannot be had of images that keep coming."""
    for source in sources:
        if not os.path.isdir(source):
            raise FaceprobeError(f"--watch looks at folders of this machine; found {source}")
    if table_format == "parquet":
        raise FaceprobeError("--watch adds rows without an end, and Parquet needs one: name a .csv or .jsonl")
    asked = [f"--{name.replace('_', '-')}" for name in ("evaluate", *_FOR_PEOPLE) if options[name]]
    if asked:
        raise FaceprobeError(
            f"{' and '.join(asked)}: --watch has no end after which to make that: run `score` without it into another "
            "file; with the same --store nothing is embedded again"
        )


def _watch(
    sources: tuple[str, ...], bundle: "Bundle", output: str, table_format: str, options: dict[str, Any]
) -> NoReturn:
    """Score what arrives in folders until Ctrl-C."""
    import pandas as pd

    from embedder.report import failed_among
    from heads.score.job import SHOWN, FileOutput
    from heads.score.outputs import Table
    from heads.score.watch import MANY, Added, Arrivals, watch

    say = functools.partial(click.echo, err=output == "-")
    failed = pd.DataFrame(columns=["path", "status", "reason"])
    arrivals = Arrivals(sources)
    with contextlib.ExitStack() as stack:
        scorer, engine = _scorer(stack, bundle, options)
        table = Table(table_format, scorer.columns)
        rows = _open_rows(output, table, scorer, arrivals.folders, watched=True, overwrite=options["overwrite"])
        stack.enter_context(rows)
        if isinstance(rows, FileOutput):
            arrivals.leave_out(rows.names())
        done = f"; {_count(rows.progress.done, 'image')} done" if rows.progress.done else ""
        say(f"watching {', '.join(sources)}{done}; Ctrl-C ends it")
        how: dict[str, Any] = {"many": 1 if options["workers"] else MANY, "store": options["store_path"]}
        try:
            for event in watch(rows, arrivals, scorer, engine=engine, **how):
                say(_watched(event))
                if isinstance(event, Added):
                    bad = event.scores.rows[event.scores.rows["status"] != "ok"]
                    failed = pd.concat([failed, bad[[*failed]].head(SHOWN - len(failed))])
        except KeyboardInterrupt:
            pass  # how it ends
    progress = rows.progress
    if progress.done:
        _print_scored(bundle, progress, failed, say)
    goes_on = "" if output == "-" else "; the same command goes on"
    say(f"{_count(progress.done, 'image')}, {_count(progress.rows, 'row')} in {output}{goes_on}")
    _end_at_once(EXIT_FAILURES if failed_among(progress.statuses) > options["max_failures"] else 0)


def _watched(event: "Added | ManifestError | None") -> str:
    """What has happened in watched folders, in one line."""
    if event is None:
        return "the folder is back"
    if isinstance(event, FaceprobeError):
        return f"{str(event).splitlines()[0].rstrip('.')}; looking again until it can be"
    scores = event.scores
    statuses = ", ".join(f"{status} {count:,}" for status, count in scores.statuses.items())
    return f"{_count(scores.inputs, 'image')}, {_count(len(scores.rows), 'row')}, {event.seconds:.1f} s: {statuses}"


def _labels(sources: tuple[str, ...], images: Any, figures_path: Path, output: str) -> Any:
    """The labels that scores will be compared with; what keeps them from it is said before the work."""
    from heads.score.evaluate import read_labels

    if output == "-":
        raise FaceprobeError("--evaluate reads the scores again: give -o a file")
    _check_output(figures_path, (".csv",))
    return read_labels(sources, images)


def _evaluate(output: Path, table: "Table", bundle: "Bundle", labels: Any, figures_path: Path) -> None:
    """Compare scores with labels; print and write how right they are."""
    from heads.score.evaluate import evaluate, evaluation_lines
    from heads.score.outputs import read_table

    found = evaluate(read_table(output, table), labels, bundle.tasks)
    _write_csv(found.figures, figures_path)
    for line in evaluation_lines(found):
        click.echo(line)
    if found.left_out:
        click.echo(f"{_count(found.left_out, 'labelled image')} without a score")
    click.echo(f"[low, high]: 95% interval over resampled images; all figures, by group, are in {figures_path}")


def _check_for_people(output: str, options: dict[str, Any]) -> None:
    """Refuse before the work what could not be made of its scores."""
    asked = [f"--{name.replace('_', '-')}" for name in _FOR_PEOPLE if options[name]]
    if asked and output == "-":
        raise FaceprobeError(f"{' and '.join(asked)} read the scores again: give -o a file")
    for name in ("summary", "gallery"):
        if options[name]:
            _check_output(options[name], (".html",))


def _make_for_people(
    output: Path, table: "Table", images: "pd.DataFrame", scanned: list[Path], options: dict[str, Any]
) -> None:
    """Make pages, annotated copies and albums of finished scores."""
    import pandas as pd

    from data.files import PRIVATE, write_text
    from data.images import printable
    from heads.folder.annotate import annotate
    from heads.folder.gallery import gallery
    from heads.folder.sorting import sort_into
    from heads.folder.summary import folder_summary
    from heads.score.outputs import read_table

    rows = pd.concat(read_table(output, table), ignore_index=True)
    sources = rows["path"].map(dict(zip(map(printable, images["image_id"]), images["path"], strict=True)))
    folders = [folder for folder in scanned if folder.is_dir()]
    if summary := options["summary"]:
        page, figures = folder_summary(rows)
        write_text(summary, page, mode=PRIVATE)
        _write_csv(figures, summary.with_suffix(".csv"))
        click.echo(f"the folder as a whole in {summary}, figures in {summary.with_suffix('.csv')}")
    if page_path := options["gallery"]:
        write_text(page_path, gallery(rows, sources), mode=PRIVATE)
        click.echo(f"photographs with their faces in {page_path}")
    if drawn := options["annotate"]:
        with _progress("drawing", "img", total=sources.nunique()) as on_progress:
            found = annotate(rows, sources, drawn, scanned=folders, on_progress=on_progress)
        _print_copies(drawn, found)
    if albums := options["sort_into"]:
        chosen: dict[str, Any] = {"by": options["by"], "how": options["how"]}
        with _progress("sorting", "img", total=sources.nunique()) as on_progress:
            found = sort_into(rows, sources, albums, scanned=folders, on_progress=on_progress, **chosen)
        _print_copies(albums, found)


def _print_copies(folder: Path, found: "pd.DataFrame") -> None:
    from heads.folder.places import FAILED

    click.echo(f"{folder}: " + ", ".join(f"{n:,} {outcome}" for outcome, n in found["outcome"].value_counts().items()))
    for path, reason in found.loc[found["outcome"] == FAILED, ["path", "reason"]].head(5).itertuples(index=False):
        click.echo(f"  {path}: {reason}")


def _table_format(output: str, form: str | None) -> str:
    """The format of a table of scores, by its name if it is not said."""
    from heads.score.outputs import FORMATS

    if output == "-":
        return form or FORMATS[0]
    named = Path(output).suffix[1:]
    _check_output(Path(output), () if form else tuple(f".{each}" for each in FORMATS))
    return form or named


def _scorer(stack: contextlib.ExitStack, bundle: "Bundle", options: dict[str, Any]) -> "tuple[Scorer, Engine | None]":
    """Start what `score` needs."""
    from embedder.backbone import usable_cores
    from embedder.faces.finder import load_finder
    from embedder.spec import UNALIGNED
    from embedder.workers import Workers
    from heads.score.rows import Asked, Scorer
    from heads.score.run import detector_for

    view = {key: value for key, value in _view(options).items() if value != UNALIGNED}
    settings = _finder_settings(options, detector_for(bundle, options["detector"]), "all")
    accepted = {"view": view, "accept_mismatch": options["accept_mismatch"], "device": options["device"]}
    backbone = stack.enter_context(bundle.load_backbone(options["name"], **accepted))
    if backbone.note:
        click.echo(backbone.note, err=True)
    finder = stack.enter_context(load_finder(settings)) if settings else None
    processes = options["workers"] or (usable_cores() if finder else 0)
    engine = Workers([backbone], processes, finder=finder) if processes else None
    asked = Asked(options["ethnicity"], options["abstain"])
    return Scorer(bundle, backbone, finder=finder, asked=asked), engine


@cli.command("export-onnx", short_help="Write backbone and heads as one ONNX file.")
@click.argument("bundle_path", metavar="BUNDLE", type=_PATH)
@click.option("-o", "--output", type=_PATH, required=True, help="An .onnx to write.")
@click.option("--ethnicity", is_flag=True, help="Put its head into the file too, if the bundle has one.")
@click.option("--backbone", "name", help="For a bundle without weights: the .onnx file it was trained on.")
def export_onnx(bundle_path: Path, output: Path, ethnicity: bool, name: str | None) -> None:
    """Join the backbone and the heads of BUNDLE to one ONNX file, to predict where faceprobe is not installed.

    In go faces, uint8 RGB (n, height, width, 3), cropped like those the bundle was trained on; out come the embedding,
    ages with their intervals, and classes with calibrated probabilities. Labels, licence and the bundle's id are in the
    file's metadata (docs/onnx.md). Dlib and .h5 files hold no ONNX graph and cannot be joined.

    \b
    Examples:
      faceprobe export-onnx bundle -o model.onnx
      faceprobe export-onnx bundle --backbone ArcFace,weights=arcface.onnx -o model.onnx
    """
    from heads.bundle import load_bundle
    from heads.export import export_onnx as run

    _check_output(output, (".onnx",))
    bundle = load_bundle(bundle_path)
    done = run(bundle, output, backbone=name, ethnicity=ethnicity)
    at_once = _count(done.batch, "face") if done.batch else "any number of faces"
    click.echo(
        f"{output}: {_megabytes(output.stat().st_size)}, takes {at_once} at a time, gives {', '.join(done.outputs)}"
    )
    click.echo(f"run with ONNX Runtime on drawn pictures, it differs from the bundle by {done.difference:.1g} at most")
    click.echo(f"licence of the backbone's weights: {bundle.embedding.recorded['licence']}")


@cli.group(cls=_InOrder, short_help="Look at what finds faces, and at what it finds.")
def faces() -> None:
    """Look at what finds faces in photographs, and at what it finds, before a run is trusted.

    \b
    Examples:
      faceprobe faces detectors
      faceprobe faces show photos/ -o faces.html
      faceprobe faces show photos/ --min-face 40 --min-quality 0.3 -o faces.html
    """


@faces.command("detectors", short_help="Which detectors work here.")
def faces_detectors() -> None:
    """List all detectors: whether each works here and what it lacks, its default side in pixels, and its licence.

    The side is what a picture's longer side is brought to for detecting: NAME:SIDE asks for another, a larger one
    finds smaller faces. With :turned at its end, pictures without a face are turned by 90, 180 and 270 degrees.

    \b
    Examples:
      faceprobe faces detectors
      faceprobe faces show photos/ --detector hog:3000:turned -o faces.html
    """
    from embedder.faces.detect import DEFAULT, DETECTORS, list_detectors

    found = list_detectors()
    click.echo(f"{'detector':10}  {'state':15}  {'side':>5}  about")
    for each in found:
        row = DETECTORS[each.name]
        click.echo(f"{each.name:10}  {each.state:15}  {row.side:5}  {each.why}\n{'':34}  licence: {row.licence}")
    working = ", ".join(each.name for each in found if each.state == "works")
    click.echo(f"\nworks now: {working}; the default is {DEFAULT}")


@faces.command("show", short_help="Draw what is found, as a page.")
@click.argument("source")
@_face_options("largest")
@click.option("--limit", type=click.IntRange(min=1), default=200, show_default=True, help="Most pictures to look at.")
@click.option("--store", "store_path", type=_PLACE, help="Take known faces from here and keep new ones.")
@click.option("-o", "--output", type=_PATH, required=True, help="An .html to write.")
def faces_show(source: str, limit: int, store_path: Place | None, output: Path, **faces: Any) -> None:
    """Find the faces in SOURCE, as `score` takes one, and draw them on a page to be looked at.

    The page holds every picture with boxes and landmarks, each face as a backbone gets it, its quality and what that
    is made of, and why a face is not wanted. It needs nothing but itself and is readable by you alone: it shows people.
    Of more than --limit pictures so many are looked at, evenly taken. With --store nothing is detected twice.

    \b
    Examples:
      faceprobe faces show photos/ -o faces.html
      faceprobe faces show party.jpg --faces all --detector cnn:1280 -o party.html
      faceprobe faces show manifest.csv --min-face 40 --min-quality 0.3 --store store -o faces.html
      faceprobe faces show photos/ --crop arcface --margin 20 --limit 50 -o faces.html
    """
    from data.files import PRIVATE, write_text
    from data.images import printable
    from data.sources import list_sources
    from embedder.backbone import usable_cores
    from embedder.faces.album import evenly, look
    from embedder.faces.detect import DEFAULT, DETECTORS
    from embedder.faces.finder import load_finder
    from embedder.spec import join_alignment
    from embedder.workers import Workers
    from heads.report.faces_page import faces_report
    from heads.report.page import render_page

    _check_output(output, (".html",))
    settings = _looking_for(faces, faces["detector"] or DEFAULT, "largest")
    listed, _ = list_sources([source])
    images = evenly(listed, limit)
    alignment = join_alignment(faces["crop"] or "chip", faces["margin"] or 0)
    with contextlib.ExitStack() as stack:
        finder = stack.enter_context(load_finder(settings))
        on_progress = stack.enter_context(_progress("looking", "img", total=2 * len(images)))
        processes = min(usable_cores(), len(images))
        engine = Workers([], processes, finder=finder) if processes > 1 else None
        album = look(images, finder, engine=engine, alignment=alignment, store=store_path, on_progress=on_progress)
    said = {
        "command": printable(shlex.join(["faceprobe", *sys.argv[1:]])),
        "detector": f"{settings.detector}, pictures of {settings.detector.side} pixels",
        "licence": DETECTORS[settings.detector.name].licence,
        "faces are cut by": alignment,
    }
    report = faces_report(album.pictures, album.faces, source=printable(source), listed=len(listed), settings=said)
    write_text(output, render_page(report), mode=PRIVATE)
    part = f" of {len(listed):,}" if len(listed) > len(images) else ""
    statuses = ", ".join(f"{status} {n:,}" for status, n in album.pictures["status"].value_counts().items())
    click.echo(f"{_count(len(images), 'picture')}{part}: {statuses}")
    click.echo(f"{_count(len(album.faces), 'face')}, {(album.faces['refusal'] == '').sum():,} wanted")
    click.echo(f"open {output} in a browser; it shows people: keep it as you keep their pictures")


@cli.group(cls=_InOrder, short_help="Get and check pretrained weights.")
def weights() -> None:
    """Get the weight files of pretrained backbones, and check that they are what they must be.

    They lie in deepface's folder, ~/.deepface/weights; DEEPFACE_HOME moves it. Only `fetch` uses the network.

    \b
    Examples:
      faceprobe weights list
      faceprobe weights fetch ArcFace Facenet
      faceprobe weights import /media/stick/arcface_weights.onnx
      faceprobe weights verify
    """


@weights.command("list", short_help="Show which files there are.")
def weights_list() -> None:
    """List backbones with their weight files: which are there, what vouches for them, and their licence.

    \b
    Example:
      faceprobe weights list
    """
    from embedder.spec import BACKBONES
    from embedder.weights import expected_sha256, find_weights, weights_folder, working_backbones

    lines = [("backbone", "file", "MB", "SHA-256", "licence")]
    for row in BACKBONES.values():
        for file in row.files:
            path = find_weights([file])
            size = f"{path.stat().st_size / 1e6:,.1f}" if path else "-"
            lines.append((row.name, file, size, expected_sha256(file)[1] or "none known", row.licence))
    for name, file, size, origin, licence in lines:
        click.echo(f"{name:12}  {file:35}  {size:>5}  {origin:10}  {licence}")
    click.echo(f"\nfolder: {weights_folder()}\nworks now: {', '.join(working_backbones())}")


@weights.command("fetch", short_help="Download files.")
@click.argument("names", metavar="NAME...", nargs=-1, required=True)
def weights_fetch(names: tuple[str, ...]) -> None:
    """Download the weight file of each NAME, a backbone or one of the files in `weights list`.

    Each file is verified before it gets its name. A stopped download is continued by the same command.
    FACEPROBE_WEIGHTS_URL names a folder on a server of your own, which is tried first.

    \b
    Examples:
      faceprobe weights fetch ArcFace Facenet
      faceprobe weights fetch arcface_weights.h5
    """
    from embedder.fetch import fetch

    failed = []
    for name in names:
        try:
            with _progress(f"fetching {name}", "B") as on_progress:
                path = fetch(name, on_progress=on_progress)
        except BackboneError as error:
            failed.append(str(error))
        else:
            _print_weights(path)
    if failed:
        raise BackboneError("\n".join(failed))


@weights.command("import", short_help="Copy files from elsewhere.")
@click.argument("files", metavar="FILE...", type=_PATH, nargs=-1, required=True)
@click.option("--as", "name", help="Which weight file FILE is, where neither its bytes nor its name tells.")
def weights_import(files: tuple[Path, ...], name: str | None) -> None:
    """Copy weight files that you have into the folder, under their right names. Uses no network.

    A file is recognised by its SHA-256 where that is known, whatever it is called, else by its name.

    \b
    Examples:
      faceprobe weights import /media/stick/arcface_weights.onnx /media/stick/facenet_weights.onnx
      faceprobe weights import "Downloads/weights (1).onnx" --as arcface_weights.onnx
    """
    from embedder.fetch import import_weights

    if name and len(files) > 1:
        raise FaceprobeError("--as is for one file at a time")
    for file in files:
        _print_weights(import_weights(file, name=name))


@weights.command("cut", short_help="Keep a network up to an earlier layer.")
@click.argument("name", metavar="BACKBONE")
@click.option("--layer", metavar="TENSOR", help="Where to cut; by default before the last layer that is learnt.")
@click.option("-o", "--output", type=_PATH, required=True, help="An .onnx to write, with its settings beside it.")
def weights_cut(name: str, layer: str | None, output: Path) -> None:
    """Write BACKBONE up to an earlier layer, as a backbone of its own: its embeddings are what that layer gives.

    A network's last layer keeps what tells people apart. The numbers before it tell age and gender better, and cost no
    more. BACKBONE is an .onnx file, or a name whose weights are one.

    \b
    Examples:
      faceprobe weights cut net.onnx -o net_before_last.onnx
      faceprobe weights cut Facenet --layer Flatten_112 -o facenet_1792.onnx
    """
    from embedder.cut import cut_network
    from embedder.resolve import resolve_backbone

    _check_output(output, (".onnx",))
    cut = cut_network(resolve_backbone(name), output, layer=layer)
    click.echo(f"{output}: {cut.name}, what {cut.layer} gives; its settings are in {output.with_suffix('.json').name}")


def _print_weights(path: Path) -> None:
    from data.files import sha256_of_file
    from embedder.weights import expected_sha256

    _, origin = expected_sha256(path.name)
    said = {"known": "known", "recorded": "recorded", "": "neither known nor recorded"}[origin]
    click.echo(f"{path}: {path.stat().st_size / 1e6:,.1f} MB, SHA-256 {sha256_of_file(path)}, {said}")


@weights.command("verify", short_help="Check the files that are there.")
def weights_verify() -> None:
    """Check every weight file in the folder against its known SHA-256, or the one recorded at its first use.

    Exit codes: 0, or 1 when a file is not what it must be. Nothing is changed.

    \b
    Example:
      faceprobe weights verify
    """
    from embedder.weights import verify_weights, weights_folder

    checks = verify_weights()
    for found in checks:
        said = {"known": "ok, known", "recorded": "ok, as recorded at its first use", "": "not known yet, opens"}
        click.echo(f"{found.name}: {found.problem or said[found.origin]}")
    click.echo(f"{_count(len(checks), 'file')} in {weights_folder()}")
    if any(found.problem for found in checks):
        sys.exit(EXIT_FAILURES)


@cli.group(cls=_InOrder, short_help="Look after a store of embeddings.")
def store() -> None:
    """Look after an embedding store: what is in it, whether it is whole, what is to go.

    Jobs may read from the store and add to it meanwhile. Whatever is killed, the same command finishes.

    \b
    Examples:
      faceprobe store info store
      faceprobe store verify store
      faceprobe store forget store photos/anna.jpg
    """


@store.command("info", short_help="What a store holds.")
@click.argument("store_path", metavar="STORE", type=_PLACE)
@click.option("--json", "as_json", is_flag=True, help="Print JSON, for machines.")
def store_info(store_path: Place, as_json: bool) -> None:
    """Show what STORE holds, by fingerprint.

    \b
    Examples:
      faceprobe store info store
      faceprobe store info store --json
    """
    import dataclasses

    from embedder.store import open_store
    from embedder.upkeep.info import info

    found = info(open_store(store_path))
    if as_json:
        click.echo(json.dumps(dataclasses.asdict(found), indent=1))
        return
    for held in found.holdings:
        shape = " x ".join(map(str, held.dim)) + ("-d" if len(held.dim) == 1 else "")
        seeded = ", seeded weights: for tests alone" if held.seeded else ""
        click.echo(f"{held.name} {held.fingerprint} ({shape}), licence {held.licence or 'unknown'}{seeded}")
        rows = ", ".join(f"{status} {n:,}" for status, n in held.rows.items())
        click.echo(f"  rows: {rows or 'none'}" + (f"; {held.repeated:,} of them repeated" if held.repeated else ""))
        speed = f", {held.seconds_per_row * 1000:.1f} ms per row" if held.seconds_per_row else ""
        click.echo(f"  {_count(held.shards, 'shard')}, {_megabytes(held.bytes)}{speed}")
    click.echo(f"{_count(found.images, 'image file')} known, {_count(found.copies, 'copy')}; {_megabytes(found.bytes)}")


@store.command("verify", short_help="Check every byte of a store.")
@click.argument("store_path", metavar="STORE", type=_PLACE)
def store_verify(store_path: Place) -> None:
    """Check every byte of STORE against its hashes, and what the store says of itself.

    One line per finding: the file, what is wrong, what to do.

    \b
    Examples:
      faceprobe store verify store

    \b
    Exit codes: 0 when nothing is damaged, there may be remarks; 1 when something is; 2 for what you can mend.
    """
    from embedder.upkeep.verify import verify

    with _progress("verifying", "MB") as on_progress:
        started = time.perf_counter()
        found = verify(store_path, on_progress=lambda done, total: on_progress(done >> 20, total >> 20))
        seconds = time.perf_counter() - started
    for finding in found.findings:
        click.echo(f"{'DAMAGED' if finding.damaged else 'remark'} {finding}")
    for fingerprint, (low, middle, high) in found.norms.items():
        click.echo(f"{fingerprint}: lengths of vectors {low:.4g} to {high:.4g}, median {middle:.4g}")
    damaged = sum(finding.damaged for finding in found.findings)
    remarks = len(found.findings) - damaged
    click.echo(
        f"{_count(found.files, 'file')} of shards, {_megabytes(found.bytes)} in {seconds:.1f} s: "
        f"{damaged or 'nothing'} damaged, {_count(remarks, 'remark')}"
    )
    if damaged:
        sys.exit(EXIT_FAILURES)


@store.command("forget", short_help="Remove images from every file of a store.")
@click.argument("store_path", metavar="STORE", type=_PLACE)
@click.argument("names", metavar="PATH|SHA256...", nargs=-1, required=True)
@click.option("--dry-run", is_flag=True, help="Only say what would go.")
def store_forget(store_path: Place, names: tuple[str, ...], dry_run: bool) -> None:
    """Remove every row and vector of some images from STORE, then look through all its bytes for them.

    An image is a file, a path as the store recorded it, or a SHA-256, of which 8 digits do. It goes under all its
    names. Stop the jobs that read it first. Backups, and the free blocks of a disk, are out of reach.

    \b
    Examples:
      faceprobe store forget store photos/anna.jpg --dry-run
      faceprobe store forget store photos/anna.jpg 5891b5b522d5df08
    """
    from embedder.store import open_store
    from embedder.upkeep.forget import forget

    gone = forget(open_store(store_path), names, dry_run=dry_run)
    for path in gone.paths:
        click.echo(f"  {path}")
    rows = ", ".join(f"{n:,} of {fingerprint}" for fingerprint, n in gone.rows.items()) or "none"
    what = f"{_count(len(gone.sha256), 'image')} under {_count(len(gone.paths), 'name')}, rows: {rows}"
    click.echo(f"would forget {what}" if dry_run else f"forgot {what}; no file of {store_path} holds any of it")
    if gone.twins:
        click.echo(f"other files have the same vector, the same picture perhaps: {', '.join(gone.twins)}")


@store.command("compact", short_help="Bring small shards together.")
@click.argument("store_path", metavar="STORE", type=_PLACE)
def store_compact(store_path: Place) -> None:
    """Rewrite the small shards of STORE as larger ones, without rows that are there twice.

    \b
    Examples:
      faceprobe store compact store
    """
    from embedder.store import open_store
    from embedder.upkeep.compact import compact

    with _progress("compacting", "shard") as on_progress:
        done = compact(open_store(store_path), on_progress=on_progress)
    for folder in done:
        click.echo(
            f"{folder.folder}: {_count(folder.before, 'shard')} to {folder.after:,}, "
            f"{_count(folder.dropped, 'row')} dropped"
        )


@store.command("gc", short_help="Remove what stopped jobs left.")
@click.argument("store_path", metavar="STORE", type=_PLACE)
@click.option(
    "--older-than",
    type=click.FloatRange(min=0),
    default=60,
    show_default=True,
    help="Minutes; 0 if no job is running: it may be about to commit what is newer.",
)
@click.option("--dry-run", is_flag=True, help="Only say what would go.")
def store_gc(store_path: Place, older_than: float, dry_run: bool) -> None:
    """Remove half-written files from STORE, vectors without a table, and shards that others replaced.

    \b
    Examples:
      faceprobe store gc store --dry-run
      faceprobe store gc store --older-than 0
    """
    from embedder.store import open_store
    from embedder.upkeep.gc import gc as run

    done = run(open_store(store_path), older_than=older_than * 60, dry_run=dry_run)
    for name in done.removed:
        click.echo(f"  {name}")
    verb = "would remove" if dry_run else "removed"
    click.echo(f"{verb} {_count(len(done.removed), 'file')}, {_megabytes(done.bytes)}")
    if done.too_new:
        click.echo(f"{_count(len(done.too_new), 'file')} newer than {older_than:g} minutes left: a job may be at work")


@store.command("merge", short_help="Join stores made apart.")
@click.argument("sources", metavar="SOURCE...", type=_PLACE, nargs=-1, required=True)
@click.option("--into", "target", type=_PLACE, required=True, help="Store to fill; made if it is not there.")
def store_merge(sources: tuple[Place, ...], target: Place) -> None:
    """Copy what the stores SOURCE hold into another, checking every byte.

    What is there already is passed over, so a stopped merge is continued by the same command.

    \b
    Examples:
      faceprobe store merge machine1/store machine2/store --into store
    """
    from embedder.store import open_store
    from embedder.upkeep.merge import merge

    opened = [open_store(source) for source in sources]
    with _progress("merging", "shard") as on_progress:
        done = merge(opened, open_store(target, create=True), on_progress=on_progress)
    click.echo(
        f"{_count(done.copied, 'shard')} copied ({_megabytes(done.bytes)}), {done.known:,} known; "
        f"`faceprobe store compact {target}` drops images embedded twice"
    )


@store.command("export", short_help="Write embeddings for other programs.")
@click.argument("store_path", metavar="STORE", type=_PLACE)
@click.option("--backbone", "name", required=True, help="A name in the store, or a fingerprint.")
@click.option(
    "--format",
    "form",
    type=click.Choice(["npy", "parquet", "csv"]),
    required=True,
    help="npy: a folder of numbered .npy files with .parquet tables beside; or one file.",
)
@click.option("-o", "--output", type=_PATH, required=True, help="New folder for npy, else a file.")
@click.option("--by-content", is_flag=True, help="One row per content, without paths; else one per image file.")
@click.option("--failures", "failures_path", type=_PATH, help="A .csv for images without a vector, with reasons.")
def store_export(
    store_path: Place, name: str, form: str, output: Path, by_content: bool, failures_path: Path | None
) -> None:
    """Write the embeddings of one backbone in STORE with the paths of their images, readable by you alone.

    \b
    Examples:
      faceprobe store export store --backbone Dlib --format npy -o dlib
      faceprobe store export store --backbone Dlib --format parquet -o dlib.parquet --failures failed.csv
    """
    from data.files import PRIVATE, write_text
    from embedder.store import open_store
    from embedder.upkeep.export import export, failures

    opened = open_store(store_path)
    spec = opened.find(name)
    if spec is None:
        held = ", ".join(held.name for held in opened.specs().values()) or "no embeddings"
        raise FaceprobeError(f"{store_path} holds {held}, not {name}: name one of these")
    if form != "npy":
        _check_output(output, (f".{form}",))
    if failures_path:
        _check_output(failures_path, (".csv",))
    rows = export(opened, spec, output, form=form, by_content=by_content)
    click.echo(f"{_count(rows, 'row')} of {spec.name} {spec.fingerprint} in {output}")
    if failures_path:
        failed = failures(opened, spec)
        write_text(failures_path, failed.to_csv(index=False, lineterminator="\n"), mode=PRIVATE)
        click.echo(f"{_count(len(failed), 'image')} without a vector in {failures_path}")


def _megabytes(size: int) -> str:
    return f"{size / 2**20:,.1f} MB"


@cli.command(short_help="See it all, on drawn faces.")
@click.option("--images", type=_PATH, help="A folder of UTKFace images in place of drawn faces.")
@click.option("--fetch", is_flag=True, help="Download the pretrained weights of ArcFace and Facenet.")
@click.option("-o", "--output", type=_PATH, default=Path("demo"), show_default=True, help="Folder for all of it.")
def demo(images: Path | None, fetch: bool, output: Path) -> None:
    """Run the whole job: draw faces, index, extract, compare, train and score.

    Each step is a command of its own, printed as you would type it. Dlib is pretrained and offline; ArcFace and Facenet
    are as well where their weights are. Else they run on random numbers, which shows their speed and nothing more.

    \b
    Examples:
      faceprobe demo
      faceprobe demo --fetch
      faceprobe demo --images UTKFace/part1/ -o utkface
    """
    from embedder.weights import working_backbones

    output.mkdir(parents=True, exist_ok=True)
    faces = images or _drawn(output / "faces", 300)
    others = images or _drawn(output / "others", 20, seed=1)
    networks = ["ArcFace", "Facenet"]
    if fetch:
        _step("weights", "fetch", *networks)
    random = [name for name in networks if name not in working_backbones()]
    if random:
        click.echo(f"no weights of {' and '.join(random)} here (--fetch gets them): random numbers stand in for them.")
        click.echo("Drawings are plain enough for random numbers to tell much of them; photographs are not.")
    weights = [word for name in random for word in ("--weights", f"{name}=seeded:0")]
    manifest, store, tasks = output / "manifest.csv", ["--store", output / "store"], _repeated("--task", _DEMO_TASKS)
    compared = [*networks, "+".join(networks), "Dlib"]
    _step("index", faces, "--dataset", "utkface", "-o", manifest)
    _step("extract", manifest, *_repeated("--backbone", [*networks, "Dlib"]), *weights, *store)
    pictures = [] if images else ["--pictures"]
    run = [*tasks, "-o", output / "run", *pictures]
    _step("compare", manifest, *_repeated("--backbone", compared), *weights, *store, *run)
    _step("train", manifest, "--backbone", "Dlib", *store, *tasks, "-o", output / "bundle")
    _step("score", others, "--bundle", output / "bundle", *store, "-o", output / "scores.csv", "--overwrite")
    if images:
        click.echo("these faces were trained on, so their scores look too good; the table has the honest figures")
    click.echo(f"\nopen {output / 'run' / 'report.html'} in a browser; {output / 'scores.csv'} has a row for each face")


def _drawn(folder: Path, n: int, *, seed: int = 0) -> Path:
    """A folder of n drawn faces, drawn once."""
    from data.synthetic import draw_faces

    if not folder.is_dir() or len(list(folder.glob("*.jpg"))) < n:
        with _progress(f"drawing {folder.name}", "face", total=n) as on_progress:
            draw_faces(folder, n, seed=seed, on_progress=on_progress)
        click.echo(f"{n} faces drawn in {folder}")
    return folder


def _step(*words: object) -> None:
    """Print a command and run it in a process of its own; one that fails ends this one."""
    arguments = [str(word) for word in words]
    click.echo(f"\n$ {shlex.join(['faceprobe', *arguments])}")
    process = subprocess.Popen([sys.executable, __file__, *arguments])
    try:
        code = process.wait()
    except KeyboardInterrupt:  # which the command has got as well, and answers by keeping what it has done
        code = process.wait()
    if code:
        sys.exit(code)


def _repeated(option: str, values: Sequence[str]) -> list[str]:
    return [word for value in values for word in (option, value)]


@contextlib.contextmanager
def _progress(label: str, unit: str, *, total: int | None = None, initial: int = 0) -> Iterator[Callable[..., None]]:
    """A bar with rate and time left, for what takes over two seconds at a terminal; silent elsewhere.

    Yields a function to call with the number done since the last call, or with (done, total).
    """
    from tqdm import tqdm

    shown = {"unit": unit, "unit_scale": unit == "B", "dynamic_ncols": True, "leave": False}
    with tqdm(desc=label, total=total, initial=initial, delay=2, disable=None, **shown) as bar:

        def advance(n: int, of: int | None = None) -> None:
            if of is None:
                bar.update(n)
            else:
                bar.total = of
                bar.update(n - bar.n)

        yield advance


def _check_output(path: Path, suffixes: tuple[str, ...] = ()) -> None:
    """Refuse before the work what could not be written after it."""
    if suffixes and path.suffix not in suffixes:
        raise FaceprobeError(f"expected a name ending in {' or '.join(suffixes)}; found {path.name}")
    if path.is_dir():
        raise FaceprobeError(f"cannot write {path}: it is a folder")
    if not path.parent.is_dir():
        raise FaceprobeError(f"cannot write {path}: there is no folder {path.parent}")
    if not os.access(path.parent, os.W_OK):
        raise FaceprobeError(f"cannot write {path}: {path.parent} may not be written to")


def _count(n: int, noun: str) -> str:
    plural = noun[:-1] + "ies" if noun.endswith("y") else noun + "s"
    return f"{n:,} {noun if n == 1 else plural}"


def _write_csv(frame: Any, path: Path) -> None:
    from data.files import write_text

    write_text(path, frame.to_csv(index=False, lineterminator="\n"))


def _append_json_lines(path: Path, events: Iterator[dict[str, Any]]) -> None:
    with open(path, "a", encoding="utf-8") as file:
        for event in events:
            file.write(json.dumps({"time": time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime()), **event}) + "\n")


def main() -> None:
    """Run the command line: expected errors are one message on stderr and exit code 2, never a traceback."""
    signal.signal(signal.SIGTERM, signal.default_int_handler)  # batch systems ask this way
    try:
        cli(prog_name="faceprobe", standalone_mode=False)
    except click.ClickException as error:
        error.show()
        sys.exit(EXIT_USER)
    except FaceprobeError as error:
        click.echo(f"faceprobe: {error}", err=True)
        sys.exit(EXIT_USER)
    except OSError as error:
        click.echo(f"faceprobe: {error.filename or 'cannot write'}: {error.strerror or error}", err=True)
        _forget_output()
        sys.exit(EXIT_USER)
    except (KeyboardInterrupt, click.Abort):
        click.echo("faceprobe: interrupted", err=True)
        sys.exit(EXIT_INTERRUPTED)


def _forget_output() -> None:
    """Keep what could not be written from being tried again as Python ends, which would say so and exit with 120."""
    try:
        sys.stdout.flush()
    except OSError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


if __name__ == "__main__":
    main()
