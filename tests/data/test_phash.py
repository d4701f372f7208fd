"""Views of one picture have hashes that differ in few bits, other pictures do not."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from PIL import Image, ImageFilter, ImageOps

from data.errors import SplitError
from data.images import ImageHeader, identify
from data.phash import group_alike, perceptual_hash

VIEWS: dict[str, Callable[[Image.Image], Image.Image]] = {
    "half the size": lambda image: image.resize((100, 80)),
    "blurred": lambda image: image.filter(ImageFilter.GaussianBlur(2)),
    "darker": lambda image: image.point(lambda value: 255 * (value / 255) ** 1.8),
    "lighter": lambda image: image.point(lambda value: 255 * (value / 255) ** 0.6),
    "grey": lambda image: image.convert("L"),
    "mirrored": ImageOps.mirror,
}


def scene(seed: int) -> Image.Image:
    """Draw smooth blotches of 200 x 160 pixels."""
    blotches = np.random.default_rng(seed).integers(20, 236, (8, 10, 3), dtype=np.uint8)
    return Image.fromarray(blotches).resize((200, 160), Image.Resampling.BICUBIC)


def hash_of(path: Path) -> str | None:
    return perceptual_hash(path, identify(path))


def saved(image: Image.Image, path: Path, **options: int) -> Path:
    image.save(path, **options)
    return path


@pytest.mark.parametrize("view", VIEWS)
def test_a_view_is_grouped_with_its_picture_and_strangers_are_not(tmp_path: Path, view: str) -> None:
    hashes = [hash_of(saved(scene(seed), tmp_path / f"{seed}.png")) for seed in range(20)]
    seen = hash_of(saved(VIEWS[view](scene(7)), tmp_path / "view.jpg", quality=30))
    groups = group_alike([*hashes, seen])
    assert groups[20] == groups[7]
    assert len(set(groups)) == 20


def test_hashes_are_grouped_within_the_distance_and_not_beyond() -> None:
    hashes = ["0000000000000000", "000000000000000f", "f00000000000000f", "ffffffffffffffff"]
    assert [len(set(group_alike(hashes, distance=distance))) for distance in (0, 3, 4)] == [4, 4, 2]


def test_missing_hashes_are_like_no_other() -> None:
    groups = group_alike(["0123456789abcdef", None, np.nan, "0123456789abcdef"])
    assert groups[0] == groups[3]
    assert len(set(groups)) == 3
    assert len(set(group_alike([None, None]))) == 2


def test_what_is_no_such_hash_is_refused() -> None:
    with pytest.raises(SplitError, match=r"16 hexadecimal digits; found 12\.5"):
        group_alike(["0123456789abcdef", "12.5"])


def test_pictures_that_give_no_hash(tmp_path: Path) -> None:
    flat = saved(Image.new("RGB", (64, 64), (9, 9, 9)), tmp_path / "flat.png")
    whole = saved(scene(0), tmp_path / "whole.jpg").read_bytes()
    (tmp_path / "cut.jpg").write_bytes(whole[: len(whole) // 2])
    assert hash_of(flat) is None
    assert hash_of(tmp_path / "cut.jpg") is None


@pytest.mark.parametrize(("kind", "side"), [("PNG", 4001), ("JPEG", 9000)])
def test_a_huge_picture_is_not_decoded(kind: str, side: int) -> None:
    assert perceptual_hash("not-there", ImageHeader(kind, side, side, "")) is None


def test_a_small_jpeg_of_a_large_picture_is_found(tmp_path: Path) -> None:
    large = scene(3).resize((2000, 1600), Image.Resampling.BICUBIC)
    hashes = [hash_of(saved(image, tmp_path / f"{image.width}.jpg")) for image in (large, scene(3))]
    assert len(set(group_alike(hashes))) == 1


def test_few_real_faces_are_alike_and_their_views_are(utkface_dir: Path, tmp_path: Path) -> None:
    paths = sorted(utkface_dir.iterdir())[::18]
    views = []
    for path in paths[:40]:
        with Image.open(path) as image:
            view = ImageOps.mirror(image.convert("RGB")).resize((120, 120))
        views.append(saved(view, tmp_path / path.name, quality=50))
    groups = group_alike([hash_of(path) for path in [*paths, *views]])
    assert (groups[:40] == groups[len(paths) :]).mean() >= 0.95
    assert len(groups) - len(set(groups)) <= 40 + 8
