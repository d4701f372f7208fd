"""How many planted views of a picture, and photographs of a person, are kept together, and who else is with them.

    python -m benchmarks.near_copies --manifest manifest.csv --store store --backbone NAME [--backbone NAME]

One view of each of some pictures is made, hashed and embedded, and put among all the manifest's pictures: one kind of
view at a time. Recall is the share of views that end in the group of their picture: by perceptual hash, by each
backbone, by all together. Precision is the share of planted views in a group that holds no picture but their own
and those that were grouped with it before. People are made up: pictures of a person are embeddings of random
directions about a common one, with a mean cosine between two of them, among strangers.
"""

import argparse
import contextlib
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pandas as pd
from numpy.typing import NDArray

from data.images import identify
from data.manifest import read_manifest
from data.phash import perceptual_hash
from data.split import Grouping
from embedder.backbone import Backbone, load_backbone
from embedder.preprocess import Picture, decode
from embedder.store import open_store
from heads.audit import HASH, NearCopies, find_near_copies
from heads.dataset import find_specs, join


def jpeg(picture: Picture, quality: int) -> Picture:
    """Compress and decode."""
    content = cv2.imencode(".jpg", picture[..., ::-1], [cv2.IMWRITE_JPEG_QUALITY, quality])[1]
    return decode(content.tobytes())


def cropped(picture: Picture, share: float) -> Picture:
    """Cut a share off each side, and scale back."""
    height, width = picture.shape[:2]
    top, left = int(height * share), int(width * share)
    return _uint8(cv2.resize(picture[top : height - top, left : width - left], (width, height)))


def turned(picture: Picture, degrees: float) -> Picture:
    """Rotate about the middle; the border is drawn out."""
    height, width = picture.shape[:2]
    matrix = cv2.getRotationMatrix2D((width / 2, height / 2), degrees, 1)
    return _uint8(cv2.warpAffine(picture, matrix, (width, height), borderMode=cv2.BORDER_REPLICATE))


def lit(picture: Picture, gamma: float) -> Picture:
    """Make lighter (below 1) or darker (above)."""
    return _uint8((255 * (picture / 255) ** gamma).round())


def _uint8(picture: Any) -> Picture:
    return np.asarray(picture).astype(np.uint8)


VIEWS: dict[str, Callable[[Picture], Picture]] = {
    "JPEG of quality 15": lambda picture: jpeg(picture, 15),
    "half the size": lambda picture: _uint8(cv2.resize(picture, None, fx=0.5, fy=0.5, interpolation=cv2.INTER_AREA)),
    "blur, sigma 2 pixels": lambda picture: _uint8(cv2.GaussianBlur(picture, (0, 0), 2)),
    "blur, sigma 4 pixels": lambda picture: _uint8(cv2.GaussianBlur(picture, (0, 0), 4)),
    "darker, gamma 1.8": lambda picture: lit(picture, 1.8),
    "lighter, gamma 0.6": lambda picture: lit(picture, 0.6),
    "grey": lambda picture: np.repeat(_uint8(cv2.cvtColor(picture, cv2.COLOR_RGB2GRAY))[..., None], 3, axis=2),
    "mirrored": lambda picture: np.ascontiguousarray(picture[:, ::-1]),
    "cropped by 3 %": lambda picture: cropped(picture, 0.03),
    "cropped by 6 %": lambda picture: cropped(picture, 0.06),
    "cropped by 10 %": lambda picture: cropped(picture, 0.10),
    "rotated by 5 degrees": lambda picture: turned(picture, 5),
    "mirrored, cropped by 3 %, JPEG 50": lambda picture: jpeg(cropped(picture[:, ::-1], 0.03), 50),
}


def main() -> None:
    """Print both tables."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--manifest", required=True)
    parser.add_argument("--store", required=True, help="its embeddings")
    parser.add_argument("--backbone", action="append", required=True, help="as in `extract`")
    parser.add_argument("--views", type=int, default=300, help="of each kind")
    arguments = parser.parse_args(sys.argv[1:])
    frame, vectors, asked = load(arguments.manifest, arguments.store, arguments.backbone)
    started = time.perf_counter()
    copies = find_near_copies(frame, vectors)
    print(f"{copies.grouping}\n{time.perf_counter() - started:.1f} s\n")
    with contextlib.ExitStack() as stack:
        backbones = {name: stack.enter_context(load_backbone(each)) for name, each in asked.items()}
        table = views_table(frame, vectors, backbones, n=arguments.views)
    print(table.to_string(float_format="%.3f"), "\n")
    print(people_table().to_string(float_format="%.3f"))


def load(
    manifest: str, store_path: str, asked: Sequence[str]
) -> tuple[pd.DataFrame, dict[str, NDArray[Any]], dict[str, str]]:
    """Join a manifest to its embeddings, adding hashes where it has none; with how each backbone was asked for."""
    store = open_store(store_path)
    specs = find_specs(store, asked)
    rows = join(read_manifest(manifest), store, specs, [])
    frame = rows.frame
    if "phash" not in frame:
        hashes = [perceptual_hash(path, identify(path)) for path in frame["path"]]
        frame = frame.assign(phash=pd.Series(hashes, dtype=object))
    vectors = {spec.name: rows.vectors[spec.fingerprint] for spec in specs}
    return frame, vectors, dict(zip(vectors, asked, strict=True))


def views_table(
    frame: pd.DataFrame, vectors: dict[str, NDArray[Any]], backbones: dict[str, Backbone], *, n: int = 300
) -> pd.DataFrame:
    """Recall by means and precision, a row per kind of view: see the top."""
    first = np.flatnonzero(~frame["sha256"].duplicated())
    sources = np.sort(np.random.default_rng(0).choice(first, min(n, len(first)), replace=False))
    pictures = [decode(Path(path).read_bytes()) for path in frame["path"].iloc[sources]]
    before = find_near_copies(frame, vectors).grouping
    table = {}
    for kind, view in VIEWS.items():
        views = [view(picture) for picture in pictures]
        hashed = pd.DataFrame({"sha256": [f"view {row}" for row in sources], "phash": _hashes(views)})
        both = pd.concat([frame[["sha256", "phash"]], hashed], ignore_index=True)
        all_vectors = {name: np.concatenate([vectors[name], each.embed(views)]) for name, each in backbones.items()}
        found = find_near_copies(both, all_vectors)
        table[kind] = scores(found, before, sources, means=[HASH, *backbones])
    return pd.DataFrame(table).T


def scores(
    found: NearCopies, before: Grouping, sources: NDArray[np.int64], *, means: Sequence[str]
) -> dict[str, float]:
    """Measure what became of views, the last rows, of `sources`."""
    n = len(before.groups)
    together = found.grouping.groups
    recall = {}
    for name in means:
        links = found.links[found.links["found_by"] == name]
        groups = replace(found, links=links).grouping.groups
        recall[name] = float((groups[n:] == groups[sources]).mean())
    own = pd.Series(before.groups)
    others = [
        set(own[together[:n] == group]) - {own[source]} for group, source in zip(together[n:], sources, strict=True)
    ]
    precision = float(np.mean([not other for other in others]))
    return {**recall, "all": float((together[n:] == together[sources]).mean()), "precision": precision}


def _hashes(views: Sequence[Picture]) -> list[str | None]:
    """Hash pictures as files: PNG, which loses nothing."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "view.png"
        hashes = []
        for view in views:
            cv2.imwrite(str(path), view[..., ::-1])
            hashes.append(perceptual_hash(path, identify(path)))
    return hashes


def people_table(*, people: int = 100, pictures: int = 5, strangers: int = 5000, numbers: int = 32) -> pd.DataFrame:
    """Recall of pairs of pictures of one person, and precision of pairs, by the mean cosine of such pairs."""
    rng = np.random.default_rng(0)
    table = {}
    for cosine in (0.95, 0.9, 0.8, 0.7, 0.6, 0.5):
        own = np.repeat(rng.normal(size=(people, numbers)), pictures, axis=0)
        rows = np.sqrt(cosine) * own + np.sqrt(1 - cosine) * rng.normal(size=own.shape)
        rows = np.concatenate([rows, rng.normal(size=(strangers, numbers))])
        who = np.concatenate([np.repeat(np.arange(people), pictures), people + np.arange(strangers)])
        ids = pd.Series(range(len(rows))).astype(str)
        groups = find_near_copies(pd.DataFrame({"sha256": ids}), {"made up": rows}).grouping.groups
        left, right = np.triu_indices(people * pictures, 1)
        same = who[left] == who[right]
        grouped = pd.Series(groups).map(pd.Series(groups).value_counts())
        pairs = int((grouped - 1).sum()) / 2
        kept = int((groups[left] == groups[right])[same].sum())
        table[f"cosine {cosine:.2f}"] = {"recall": kept / same.sum(), "precision": kept / pairs if pairs else np.nan}
    return pd.DataFrame(table).T


if __name__ == "__main__":
    main()
