"""faceprobe: the command line. Each command checks its options, makes one library call and prints."""

import contextlib
import json
import os
import signal
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from data.errors import FaceprobeError

if TYPE_CHECKING:
    from embedder.backbone import Backbone
    from embedder.extract import ExtractReport

EXIT_FAILURES, EXIT_USER, EXIT_INTERRUPTED = 1, 2, 130


@click.group(context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100})
@click.version_option(package_name="faceprobe", message="%(prog)s %(version)s")
def cli() -> None:
    """Turn frozen face-recognition backbones into face-attribute models.

    \b
    The way through, from a folder of labelled faces to scores for another:
      faceprobe index faces/ --dataset utkface -o manifest.csv
      faceprobe extract manifest.csv --backbone model.onnx --backbone Dlib --store store
      faceprobe compare manifest.csv --store store --backbone MobileFaceNet --backbone Dlib -o runs/first
      faceprobe train manifest.csv --store store --backbone model.onnx -o bundle
      faceprobe score photos/ --bundle bundle -o scores.csv
    """


@cli.command()
@click.argument("folder", type=click.Path(path_type=Path))
@click.option("--dataset", default="folder", show_default=True, help="utkface (labels in names), or folder (none).")
@click.option("-o", "--output", type=click.Path(path_type=Path), required=True, help="A .csv or .parquet to write.")
def index(folder: Path, dataset: str, output: Path) -> None:
    """List the images of FOLDER with their labels.

    Files that cannot be used are written to a second table, OUTPUT.rejected.csv, with a reason each.

    \b
    Examples:
      faceprobe index UTKFace/ --dataset utkface -o manifest.csv
      faceprobe index photos/ -o photos.parquet
    """
    from data.manifest import write_manifest
    from data.readers import READERS

    if dataset not in READERS:
        raise FaceprobeError(f"unknown dataset {dataset!r}: known are {', '.join(READERS)}")
    with _progress("indexing", "file") as on_progress:
        manifest, rejected = READERS[dataset](folder, on_progress=on_progress)
    write_manifest(manifest, output)
    rejected_path = output.with_suffix(".rejected.csv")
    _write_csv(rejected, rejected_path)
    frame = manifest.frame
    click.echo(f"{len(frame):,} images in {output}, {_count(len(rejected), 'file')} rejected in {rejected_path}")
    for path, reason in rejected[["path", "reason"]].head(5).itertuples(index=False):
        click.echo(f"  rejected {path}: {reason}")
    click.echo(f"copies: {frame['sha256'].duplicated().sum():,} images have the bytes of another")
    if "age" in frame:
        from data.labels import DEFAULT_AGE_RANGE

        low, high = DEFAULT_AGE_RANGE
        outside = (~frame["age"].between(low, high) & frame["age"].notna()).sum()
        click.echo(f"ages {frame['age'].min():.0f} to {frame['age'].max():.0f}; {outside:,} outside {low} to {high}")
    for column in ("gender", "ethnicity"):
        if column in frame:
            counts = ", ".join(f"{name} {n:,}" for name, n in frame[column].value_counts().items())
            click.echo(f"{column}: {counts}")


@cli.command()
@click.argument("source", type=click.Path(path_type=Path))
@click.option("--backbone", "names", multiple=True, required=True, help="Dlib, pixels, or an .onnx file; repeatable.")
@click.option("--store", "store_path", type=click.Path(path_type=Path), required=True, help="Embedding store to fill.")
@click.option("--max-failures", default=0, show_default=True, help="Exit with 1 if more images than this fail.")
@click.option("--log-json", type=click.Path(path_type=Path), help="Append what happened as JSON lines, for machines.")
def extract(source: Path, names: tuple[str, ...], store_path: Path, max_failures: int, log_json: Path | None) -> None:
    """Embed the images of SOURCE, a manifest or a folder, into a store.

    Each image is read once for all backbones, and gets one status. What the store already holds is not computed
    again, so a stopped run is continued by the same command.

    An ONNX file needs a sidecar FILE.json beside it, or its settings after commas.

    \b
    Examples:
      faceprobe extract manifest.csv --backbone Dlib --backbone pixels --store store
      faceprobe extract photos/ --backbone net.onnx --store store
      faceprobe extract photos/ --backbone net.onnx,channel_order=RGB,normalization=ArcFace --store store

    \b
    Exit codes: 0, 1 when more than --max-failures images failed, 2 for what you can mend, 130 after Ctrl-C.
    """
    from data.manifest import list_images
    from embedder.backbone import load_backbone
    from embedder.extract import extract as run
    from embedder.store import open_store

    images, ignored = list_images(source)
    with contextlib.ExitStack() as stack:
        backbones = [stack.enter_context(load_backbone(name)) for name in names]
        store = open_store(store_path, create=True)
        on_progress = stack.enter_context(_progress("embedding", "img", total=len(images)))
        report = run(images, backbones, store, on_progress=on_progress)
    if ignored:
        click.echo(f"{_count(ignored, 'file')} ignored: not named like images")
    _print_extract(report, backbones)
    if log_json:
        _append_json_lines(log_json, _extract_events(report, backbones))
    if report.interrupted:
        click.echo(f"interrupted; what was done is in {store_path}, the same command goes on", err=True)
        sys.exit(EXIT_INTERRUPTED)
    if len(report.failures) > max_failures:
        sys.exit(EXIT_FAILURES)


def _print_extract(report: "ExtractReport", backbones: "list[Backbone]") -> None:
    n = len(report.images)
    click.echo(f"{n:,} images: {report.known:,} known, {n - report.known:,} read, {_count(report.copies, 'copy')}")
    click.echo("status: " + ", ".join(f"{status} {count:,}" for status, count in report.statuses.items()))
    for image_id, status, reason in report.failures[["image_id", "status", "reason"]].head(5).itertuples(index=False):
        click.echo(f"  {status} {image_id}: {reason}")
    if len(report.failures) > 5:
        click.echo(f"  ... and {len(report.failures) - 5:,} more")
    for backbone in backbones:
        spec = backbone.spec
        shape = " x ".join(map(str, spec.dim))
        click.echo(f"{spec.name} {spec.fingerprint} ({shape}): {report.embedded[spec.name]:,} embedded")
    done = n - report.known - report.statuses.get("not_reached", 0)
    infer = ", ".join(f"infer {name} {seconds:.1f}" for name, seconds in report.infer_seconds.items())
    click.echo(
        f"{report.seconds:.1f} s, {done / report.seconds:,.0f} images/s; seconds: {infer or 'infer 0'}, "
        f"write {report.write_seconds:.1f}; beside it in threads: read {report.read_seconds:.1f}, "
        f"decode {report.decode_seconds:.1f}"
    )


def _extract_events(report: "ExtractReport", backbones: "list[Backbone]") -> Iterator[dict[str, Any]]:
    for image_id, status, reason in report.failures[["image_id", "status", "reason"]].itertuples(index=False):
        yield {"event": "failure", "image_id": image_id, "status": status, "reason": reason}
    yield {
        "event": "summary",
        "command": "extract",
        "images": len(report.images),
        "known": report.known,
        "copies": report.copies,
        "statuses": report.statuses,
        "interrupted": report.interrupted,
        "backbones": [
            {
                "name": backbone.spec.name,
                "fingerprint": backbone.spec.fingerprint,
                "embedded": report.embedded[backbone.spec.name],
                "infer_seconds": report.infer_seconds.get(backbone.spec.name, 0.0),
            }
            for backbone in backbones
        ],
        "seconds": report.seconds,
        "read_seconds": report.read_seconds,
        "decode_seconds": report.decode_seconds,
        "write_seconds": report.write_seconds,
    }


@contextlib.contextmanager
def _progress(label: str, unit: str, *, total: int | None = None) -> Iterator[Callable[..., None]]:
    """A bar with rate and time left, for what takes over two seconds at a terminal; silent elsewhere.

    Yields a function to call with the number done since the last call, or with (done, total).
    """
    from tqdm import tqdm

    with tqdm(desc=label, unit=unit, total=total, delay=2, disable=None, leave=False, dynamic_ncols=True) as bar:

        def advance(n: int, of: int | None = None) -> None:
            if of is None:
                bar.update(n)
            else:
                bar.total = of
                bar.update(n - bar.n)

        yield advance


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
    signal.signal(signal.SIGTERM, lambda *_: signal.raise_signal(signal.SIGINT))  # batch systems ask this way
    try:
        cli(prog_name="faceprobe", standalone_mode=False)
    except click.ClickException as error:
        error.show()
        sys.exit(EXIT_USER)
    except FaceprobeError as error:
        click.echo(f"faceprobe: {error}", err=True)
        sys.exit(EXIT_USER)
    except BrokenPipeError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())  # the reader has gone; so may what is buffered
    except OSError as error:
        click.echo(f"faceprobe: {error.filename or 'a file'}: {error.strerror or error}", err=True)
        sys.exit(EXIT_USER)
    except (KeyboardInterrupt, click.Abort):
        click.echo("faceprobe: interrupted", err=True)
        sys.exit(EXIT_INTERRUPTED)


if __name__ == "__main__":
    main()
