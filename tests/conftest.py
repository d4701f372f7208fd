"""What several test folders share: where the real data is, and small images drawn on the spot."""

import itertools
import shutil
import urllib.request
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pytest
from hypothesis import settings
from PIL import Image

from tests.s3_server import Proxy, proxy

DrawImage = Callable[..., Path]

settings.register_profile("faceprobe", deadline=None)  # a busy machine is no failure
settings.load_profile("faceprobe")


@pytest.fixture(scope="session")
def shared() -> Path:
    """Return the folder with the real data, beside the checkout."""
    folder = Path(__file__).resolve().parents[2] / "shared"
    if not folder.is_dir():
        pytest.skip("needs the folder `shared` beside the checkout")
    return folder


@pytest.fixture(scope="session")
def utkface_dir(shared: Path) -> Path:
    """Return the folder of real UTKFace images."""
    folder = shared / "utkface"
    if not folder.is_dir():
        pytest.skip("needs the folder `utkface` in `shared`, beside the checkout")
    return folder


@pytest.fixture(scope="session")
def seeded_cache(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """Return a folder for XDG_CACHE_HOME: seeded weights, 360 MB of them, are made there once for all tests."""
    folder = tmp_path_factory.mktemp("cache")
    yield folder
    shutil.rmtree(folder)


@pytest.fixture(scope="session")
def draw_image() -> DrawImage:
    """Return a function that writes a small picture; equal seeds and sizes give equal bytes."""

    def draw(path: Path, size: tuple[int, int] = (40, 30), *, seed: int = 0) -> Path:
        """Write coloured noise of `size` (width, height) to `path`, in the format that its ending names."""
        width, height = size
        pixels = np.random.default_rng(seed).integers(0, 256, (height, width, 3), dtype=np.uint8)
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(pixels).save(path)
        return path

    return draw


@pytest.fixture
def tiny_utkface(tmp_path: Path, draw_image: DrawImage) -> Path:
    """Return a folder of 24 valid images with UTKFace's names, the last 4 copies of the first 4."""
    folder = tmp_path / "tiny_utkface"
    paths = [folder / f"{4 * i}_{i % 2}_{i % 5}_{20170101000000000 + i}.jpg.chip.jpg" for i in range(24)]
    for seed, path in enumerate(paths[:20]):
        draw_image(path, seed=seed)
    for original, copy in zip(paths[:4], paths[20:], strict=True):
        shutil.copyfile(original, copy)
    return folder


@pytest.fixture(scope="session")
def s3_server() -> Iterator[str]:
    """Return the address of an S3 server on this machine."""
    moto = pytest.importorskip("moto.server", reason="needs moto[s3], flask and flask-cors: an S3 server for tests")
    server = moto.ThreadedMotoServer("127.0.0.1", 0, verbose=False)
    server.start()
    host, port = server.get_host_and_port()
    yield f"http://{host}:{port}"
    server.stop()


_numbers = itertools.count()


@pytest.fixture
def bucket(s3_server: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    """Return the s3:// address of an empty bucket that the library can reach."""
    settings = {
        "AWS_ENDPOINT_URL": s3_server,
        "AWS_ACCESS_KEY_ID": "test",
        "AWS_SECRET_ACCESS_KEY": "test",
        "AWS_DEFAULT_REGION": "us-east-1",
        "AWS_EC2_METADATA_DISABLED": "true",
        "AWS_CONFIG_FILE": str(tmp_path / "no-config"),
        "AWS_SHARED_CREDENTIALS_FILE": str(tmp_path / "no-credentials"),
    }
    for name, value in settings.items():
        monkeypatch.setenv(name, value)
    monkeypatch.delenv("AWS_ENDPOINT_URL_S3", raising=False)
    name = f"bucket-{next(_numbers)}"
    urllib.request.urlopen(urllib.request.Request(f"{s3_server}/{name}", method="PUT")).close()
    return f"s3://{name}"


@pytest.fixture
def faulty(s3_server: str, bucket: str, monkeypatch: pytest.MonkeyPatch) -> Iterator[Proxy]:
    """Return a server between the library and the bucket, which fails as it is told."""
    with proxy(s3_server) as site:
        monkeypatch.setenv("AWS_ENDPOINT_URL", site.url)
        yield site
