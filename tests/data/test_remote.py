import socket
from pathlib import Path, PurePosixPath

import pytest
from hypothesis import given
from hypothesis import strategies as st

from data import remote
from data.files import atomic_write
from data.remote import SMALL, RemotePath, StorageError, place
from tests.s3_server import cuts, drops, forgets_to_answer, proxy, says, stalls


def test_only_s3_addresses_are_remote(tmp_path):
    assert place("a/b") == Path("a/b")
    assert place(tmp_path) is not None
    assert isinstance(place(tmp_path), Path)
    assert place("s3://bucket/a/b/") == RemotePath("bucket/a/b")
    assert place(RemotePath("bucket")) == RemotePath("bucket")


@pytest.mark.parametrize("text", ["s3://", "s3:///key"])
def test_address_without_a_bucket_is_refused(text):
    with pytest.raises(StorageError, match="name the bucket"):
        place(text)


@given(st.lists(st.text("abc. -#%+ü", min_size=1).filter(lambda name: name.strip(".")), min_size=2, max_size=4))
def test_parts_are_those_of_pathlib(names):
    key = "/".join(names)
    path, known = place(f"s3://{key}"), PurePosixPath(key)
    assert isinstance(path, RemotePath)
    assert str(path) == f"s3://{key}"
    assert (path.name, path.stem, path.suffixes) == (known.name, known.stem, known.suffixes)
    assert path.parent.key == str(known.parent)
    assert path.with_suffix(".npy").key == str(known.with_suffix(".npy"))
    assert (path / "x").relative_to(path.parent) == (known / "x").relative_to(known.parent)


def test_object_comes_back_as_it_was_written(bucket):
    path = place(bucket) / "folder" / "a b#%41+ü.bin"
    assert not path.exists()
    path.write_bytes(b"first")
    path.write_bytes(b"second")
    assert path.read_bytes() == b"second"
    assert path.read_text("utf-8") == "second"
    assert (path.exists(), path.is_file(), path.is_dir()) == (True, True, False)
    assert (path.parent.exists(), path.parent.is_file(), path.parent.is_dir()) == (True, False, True)
    path.unlink()
    assert not path.exists()


@pytest.mark.parametrize("use", [RemotePath.read_bytes, RemotePath.unlink, lambda path: list(path.iterdir())])
def test_missing_object_is_a_missing_file(bucket, use):
    with pytest.raises(FileNotFoundError, match=r"no such object.*nothing"):
        use(place(bucket) / "nothing")


def test_small_object_is_one_put_and_read_with_one_get(bucket, faulty):
    path = place(bucket) / "small"
    path.write_bytes(bytes(SMALL))
    with path.open() as file:
        assert file.seek(-1, 2) == SMALL - 1
        assert file.read() == b"\0"
        file.seek(0)
        assert len(file.read()) == SMALL
    assert [line.split()[0] for line in faulty.asked] == ["PUT", "HEAD", "GET"]


def test_of_a_large_object_only_what_is_read_is_fetched(bucket, faulty):
    content = bytes(range(256)) * (12 << 12)  # more than a part of an upload
    path = place(bucket) / "large"
    path.write_bytes(content)
    faulty.asked.clear()
    with path.open() as file:
        file.seek(5 << 20)
        assert file.read(100) == content[5 << 20 :][:100]
        assert file.read(100) == content[(5 << 20) + 100 :][:100]
    _, get = faulty.asked
    assert get.endswith(f"bytes={5 << 20}-{(5 << 20) + SMALL - 1}")
    assert path.read_bytes() == content


def test_nothing_is_written_if_the_writer_fails(bucket):
    path = place(bucket) / "half"

    def write_half():
        with atomic_write(path) as file:
            file.write(b"half")
            raise KeyError

    with pytest.raises(KeyError):
        write_half()
    assert not path.exists()


def test_listing_takes_as_many_pages_as_there_are(bucket, s3_server, monkeypatch):
    folder = place(bucket) / "many"
    names = [f"{number % 7}/{number:04}.jpg" for number in range(1100)]
    for name in names:
        (folder / name).write_bytes(b"")
    with proxy(s3_server) as site:
        monkeypatch.setenv("AWS_ENDPOINT_URL", site.url)
        listed = [each.name for each in folder.listing(recursive=True) if not each.is_folder]
        assert len(site.asked) == 2
    monkeypatch.setenv("AWS_ENDPOINT_URL", s3_server)
    assert listed == sorted(names)
    assert sorted(path.name for path in folder.iterdir()) == [*"0123456"]


def test_size_and_time_are_those_of_the_listing(bucket):
    path = place(bucket) / "folder" / "a"
    path.write_bytes(b"four")
    (listed,) = path.parent.listing(recursive=False)
    with path.open_object() as file:
        assert file.status == listed.status
    assert listed.status.st_size == 4


@pytest.mark.parametrize("size", [1, 1000])  # smaller than what a server says of its failure, and larger
@pytest.mark.parametrize("fault", [says(500, "InternalError"), says(503, "SlowDown"), drops, cuts])
def test_failing_reads_are_repeated(bucket, faulty, fault, size):
    path = place(bucket) / "object"
    content = b"content" * size
    path.write_bytes(content)
    faulty.fail("GET", fault, times=3)
    assert path.read_bytes() == content
    assert not faulty.faults


@pytest.mark.parametrize("fault", [says(500, "InternalError"), says(503, "SlowDown"), drops, forgets_to_answer])
def test_failing_writes_are_repeated(bucket, faulty, fault):
    path = place(bucket) / "object"
    faulty.fail("PUT", fault, times=3)
    path.write_bytes(b"content")
    assert not faulty.faults
    assert path.read_bytes() == b"content"


@pytest.mark.parametrize("method", ["HEAD", "GET"])
def test_server_that_falls_silent_is_asked_again(bucket, faulty, monkeypatch, method):
    monkeypatch.setattr(remote, "IDLE_SECONDS", 1.0)
    path = place(bucket) / "object"
    faulty.fail(method, stalls)
    path.write_bytes(b"content")
    assert path.read_bytes() == b"content"
    assert not faulty.faults


def test_server_that_keeps_failing_is_one_line(bucket, faulty, monkeypatch):
    monkeypatch.setattr(remote, "RETRIES", 2)
    path = place(bucket) / "object"
    faulty.fail("PUT", says(500, "InternalError"), times=99)
    with pytest.raises(StorageError, match=f"^{path} cannot be written; .*{faulty.url}.*run the same command again$"):
        path.write_bytes(b"content")
    assert faulty.asked == [f"PUT /{path.key}"] * 3
    assert not path.exists()


def test_dead_server_is_one_line(bucket, monkeypatch):
    monkeypatch.setattr(remote, "RETRIES", 2)
    with socket.create_server(("127.0.0.1", 0)) as nobody:
        port = nobody.getsockname()[1]
    monkeypatch.setenv("AWS_ENDPOINT_URL", f"http://127.0.0.1:{port}")
    with pytest.raises(StorageError, match=rf"^{bucket}/x cannot be read; .*:{port}.*connect.*Check server[^\n]*$"):
        (place(bucket) / "x").read_bytes()


def test_missing_bucket_is_one_line(bucket):
    with pytest.raises(StorageError, match=r"cannot be written; .*NO_SUCH_BUCKET[^\n]*bucket"):
        (place("s3://no-such-bucket") / "x").write_bytes(b"")


def test_object_that_goes_while_it_is_read_is_a_missing_file(bucket):
    path = place(bucket) / "object"
    path.write_bytes(b"content")
    file = path.open_object()
    path.unlink()
    with pytest.raises(FileNotFoundError):
        file.readall()


def test_endpoint_of_s3_alone_goes_before_that_of_all_services(bucket, monkeypatch, s3_server):
    monkeypatch.setenv("AWS_ENDPOINT_URL", "http://127.0.0.1:1")
    monkeypatch.setenv("AWS_ENDPOINT_URL_S3", f"{s3_server}/")
    (place(bucket) / "x").write_bytes(b"here")
    assert (place(bucket) / "x").read_bytes() == b"here"
