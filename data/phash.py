"""Perceptual hash: 64 bits that stay alike when a picture is resized, compressed, blurred or made lighter.

The bits are the signs of the lowest frequencies of the picture's ranks of grey. Ranks, since they do not change with
the light as grey values do; signs, since a mirrored picture turns those of the odd horizontal frequencies, so that it
is found without being hashed. Aligned faces are all alike when small: gradients (dHash) and bits about the median (the
usual pHash) told copies from strangers less well.
"""

import os
import re

import numpy as np
import pandas as pd
from numpy.typing import ArrayLike, NDArray
from PIL import Image
from scipy.fft import dctn
from scipy.stats import rankdata

from data.errors import SplitError
from data.images import ImageHeader
from data.split import group_pairs, listed, union_groups

# 98 to 100 % of UTKFace chips at half the size, as JPEG of quality 15, blurred by 4 pixels or at gamma 0.6 and 1.8
# differ in at most 4 bits from what they were. Groups of its 7,219 chips have at most 4 pictures then; 28 at 5 bits.
DISTANCE = 4

_HASH = re.compile("[0-9a-f]{16}")
_SIDE = 32  # pixels of the small picture
_DRAFT = 4 * _SIDE  # the least that a JPEG is decoded to: at twice the side, 1 % of copies that are no JPEG were lost
_FREQUENCIES = sorted(((y, x) for y in range(_SIDE) for x in range(_SIDE)), key=lambda yx: (sum(yx), yx))[1:65]
_ROWS, _COLUMNS = np.array(_FREQUENCIES).T
_ODD = _COLUMNS % 2 == 1
_MOST_PIXELS = {"JPEG": 80_000_000}  # which is decoded at an eighth of its width and height
_MOST_PIXELS_OTHERS = 16_000_000


def perceptual_hash(path: str | os.PathLike[str], header: ImageHeader) -> str | None:
    """Hash a picture, whole and as it lies in the file.

    Returns
    -------
    16 hexadecimal digits. None if the file is truncated or cannot be decoded, if all is of one shade, and above 80
    megapixels (16 if it is no JPEG): `index` is to stay quick.
    """
    if header.width * header.height > _MOST_PIXELS.get(header.format, _MOST_PIXELS_OTHERS):
        return None
    try:
        with Image.open(path, formats=[header.format]) as image:
            image.draft("L", (_DRAFT, _DRAFT))
            small = image.convert("L").resize((_SIDE, _SIDE), Image.Resampling.BOX)
    except (OSError, ValueError, SyntaxError):
        return None
    return hash_of(np.asarray(small))


def hash_of(grey: NDArray[np.uint8]) -> str | None:
    """Hash a small picture, (32, 32) uint8; None if it is of one shade."""
    if grey.min() == grey.max():
        return None
    ranks = rankdata(grey).reshape(_SIDE, _SIDE)
    return np.packbits(dctn(ranks)[_ROWS, _COLUMNS] > 0).tobytes().hex()


def group_alike(hashes: ArrayLike, *, distance: int = DISTANCE) -> NDArray[np.int64]:
    """Group rows whose hashes differ in few bits, as they are or with one picture mirrored.

    Parameters
    ----------
    hashes : array-like of shape (n,), 16 hexadecimal digits each; a missing one is like no other.
    distance : the most bits in which two may differ.

    Returns
    -------
    ndarray of shape (n,), int64 : group numbers.

    Raises
    ------
    SplitError : something else than such a hash.
    """
    from sklearn.neighbors import NearestNeighbors

    codes, found = pd.factorize(np.asarray(hashes, dtype=object))
    wrong = np.array([not _HASH.fullmatch(str(each)) for each in found], dtype=bool)
    if wrong.any():
        raise SplitError(
            f"expected perceptual hashes of 16 hexadecimal digits; found {listed(found[wrong])}.\n"
            "Make the manifest with `index`, or remove its column phash."
        )
    if not len(found):
        return np.arange(len(codes))
    bits = np.unpackbits(np.array([list(bytes.fromhex(each)) for each in found], dtype=np.uint8), axis=1)
    # of bits, the squared distance is the number in which they differ
    search = NearestNeighbors(radius=np.sqrt(distance + 0.5), algorithm="brute").fit(bits.astype(np.float32))
    links = [search.radius_neighbors_graph(each.astype(np.float32)).tocoo() for each in (bits, bits ^ _ODD)]
    left, right = (np.concatenate([link.coords[side] for link in links]) for side in (0, 1))
    alike = group_pairs(left, right, len(found))
    return union_groups(pd.Series(alike[codes]).where(codes >= 0).to_numpy())
