import os
from pathlib import Path

import numpy as np
import pytest

from embedder import download as module
from embedder.download import DownloadError, discard, download, not_weights
from tests.http_server import (
    Site,
    breaks_after,
    claims,
    continues_at,
    says,
    serving,
    stalls_after,
    whole,
    without_length,
)

CONTENT = np.random.default_rng(0).bytes(500_000)
OTHER = np.random.default_rng(1).bytes(400_000)
HALF = 250_000


@pytest.fixture
def site():
    with serving(CONTENT) as site:
        yield site


@pytest.fixture
def part(tmp_path) -> Path:
    return tmp_path / "weights.h5.part"


def leave_half(site: Site, part: Path) -> int:
    """Stop a download midway, as a kill does; returns what it left."""
    site.answers = [breaks_after(HALF), says(500)]
    with pytest.raises(DownloadError):
        download(site.url(), part)
    site.asked.clear()
    left = part.stat().st_size
    assert 0 < left <= HALF
    return left


def test_file_arrives_and_progress_reaches_its_end(site, part):
    seen = []
    download(site.url(), part, on_progress=lambda done, total: seen.append((done, total)))
    assert part.read_bytes() == CONTENT
    assert seen == sorted(seen)
    assert seen[-1] == (len(CONTENT), len(CONTENT))


def test_broken_connection_is_taken_up_where_it_broke(site, part):
    site.answers = [breaks_after(HALF)]
    download(site.url(), part)
    assert part.read_bytes() == CONTENT
    first, second = site.ranges()
    assert first is None
    assert second is not None
    assert 0 < int(second.removeprefix("bytes=").removesuffix("-")) <= HALF


def test_next_call_goes_on_where_the_last_one_stopped(site, part):
    left = leave_half(site, part)
    seen = []
    download(site.url(), part, on_progress=lambda done, total: seen.append(done))
    assert part.read_bytes() == CONTENT
    assert site.ranges() == [f"bytes={left}-"]
    assert seen[0] > left


def test_file_that_changed_meanwhile_is_fetched_anew(site, part):
    leave_half(site, part)
    site.content, site.validators = OTHER, {"ETag": '"second"'}
    download(site.url(), part)
    assert part.read_bytes() == OTHER


def test_server_that_ignores_ranges_is_taken_from_the_start(site, part):
    leave_half(site, part)
    site.answers = [whole]
    download(site.url(), part)
    assert part.read_bytes() == CONTENT


def test_date_serves_where_the_etag_is_weak(site, part):
    site.validators = {"ETag": 'W/"first"', "Last-Modified": "Sat, 21 Nov 2026 10:00:00 GMT"}
    left = leave_half(site, part)
    download(site.url(), part)
    assert part.read_bytes() == CONTENT
    assert site.asked[0][1]["If-Range"] == site.validators["Last-Modified"]
    assert site.ranges() == [f"bytes={left}-"]


@pytest.mark.parametrize("validators", [{}, {"ETag": 'W/"first"'}], ids=["none", "weak"])
def test_without_proof_that_the_file_is_the_same_it_is_fetched_anew(site, part, validators):
    site.validators = validators
    leave_half(site, part)
    download(site.url(), part)
    assert part.read_bytes() == CONTENT
    assert site.ranges() == [None]


def test_half_of_one_address_is_not_completed_from_another(site, part):
    leave_half(site, part)
    with serving(OTHER) as mirror:  # with the same ETag
        download(mirror.url(), part)
    assert part.read_bytes() == OTHER


def test_half_that_nobody_remembers_is_fetched_anew(site, part):
    part.write_bytes(b"what is this")
    download(site.url(), part)
    assert part.read_bytes() == CONTENT


def test_memory_cut_short_is_no_memory(site, part):
    leave_half(site, part)
    part.with_name(part.name + ".json").write_text('{"url": "http')
    download(site.url(), part)
    assert part.read_bytes() == CONTENT


def test_half_longer_than_the_file_is_fetched_anew(site, part):
    leave_half(site, part)
    site.content = CONTENT[:1000]
    download(site.url(), part)
    assert part.read_bytes() == CONTENT[:1000]


def test_wrong_range_is_not_appended(site, part):
    left = leave_half(site, part)
    site.answers = [continues_at(left - 10)]
    with pytest.raises(DownloadError, match=f"go on from byte {left:,}, answered 'bytes {left - 10}-"):
        download(site.url(), part)
    assert part.read_bytes() == CONTENT[:left]


def test_range_that_ends_early_is_not_taken_for_the_end(site, part):
    left = leave_half(site, part)
    site.answers = [continues_at(left, until=left + 1000), says(404)]
    with pytest.raises(DownloadError, match="404"):
        download(site.url(), part)
    assert part.read_bytes() == CONTENT[: left + 1000]
    download(site.url(), part)
    assert part.read_bytes() == CONTENT


def test_redirected_download_is_continued_too(site, part):
    left = leave_half(site, part)
    with serving(b"") as front:
        front.answers = [says(302, b"", Location=site.url("signed?key=1"))]
        memory = part.with_name(part.name + ".json")
        memory.write_text(memory.read_text().replace(site.url(), front.url()))
        download(front.url(), part)
    assert part.read_bytes() == CONTENT
    assert site.ranges() == [f"bytes={left}-"]


def test_length_that_is_too_long_is_noticed(site, part):
    site.answers = [claims(len(CONTENT) + 100)] * 3
    with pytest.raises(DownloadError, match="the connection broke"):
        download(site.url(), part)


def test_length_that_is_not_the_expected_one_is_refused_before_anything_is_kept(site, part):
    site.answers = [claims(len(CONTENT) - 100)]
    with pytest.raises(DownloadError, match="offers 499,900 bytes, expected 500,000"):
        download(site.url(), part, expected_bytes=len(CONTENT))
    assert not part.exists()


def test_stream_without_an_end_is_cut_off_where_the_file_should_end(site, part):
    site.answers = [without_length]
    with pytest.raises(DownloadError, match="sent more than the 70,000 bytes that were expected"):
        download(site.url(), part, expected_bytes=70_000)
    assert not part.exists()


def test_length_is_not_needed(site, part):
    site.answers = [without_length]
    seen = []
    download(site.url(), part, on_progress=lambda done, total: seen.append((done, total)))
    assert part.read_bytes() == CONTENT
    assert seen[-1] == (len(CONTENT), 0)


def test_stall_ends_and_keeps_what_came(site, part, monkeypatch):
    monkeypatch.setattr(module, "STALL_SECONDS", 0.2)
    site.answers = [stalls_after(HALF), stalls_after(0)]
    with pytest.raises(DownloadError, match="nothing came for too long"):
        download(site.url(), part)
    assert CONTENT.startswith(part.read_bytes())
    assert part.stat().st_size > 0


def test_connection_that_always_breaks_at_the_same_place_is_given_up(site, part):
    site.answers = [breaks_after(HALF)] * 10
    with pytest.raises(DownloadError, match="the connection broke"):
        download(site.url(), part)
    assert len(site.asked) == 2


@pytest.mark.parametrize(
    ("answer", "words"),
    [
        (says(200), "it is a web page, not weights"),
        (says(200, b"\xef\xbb\xbf\r\n <html>"), "it is a web page, not weights"),
        (says(200, b"version https://git-lfs.github.com/spec/v1\noid sha256:00"), "git-LFS pointer"),
        (says(200, b""), "it is empty"),
        (says(404), "404 Not Found"),
        (says(500), "500 Internal Server Error"),
        (says(204, b""), "204 No Content"),
    ],
)
def test_what_is_not_the_file_is_said_and_leaves_an_earlier_half_alone(site, part, answer, words):
    left = leave_half(site, part)
    before = part.read_bytes()
    site.answers = [answer]
    with pytest.raises(DownloadError, match=words):
        download(site.url(), part)
    assert (len(before), part.read_bytes()) == (left, before)
    download(site.url(), part)
    assert part.read_bytes() == CONTENT


def test_nobody_there_is_said_in_words(part):
    with serving(b"") as gone:
        url = gone.url()
    with pytest.raises(DownloadError, match="Connection refused"):
        download(url, part)
    with pytest.raises(DownloadError, match="Invalid URL"):
        download("intranet/weights", part)


@pytest.mark.skipif(not os.path.exists("/dev/full"), reason="needs Linux's device that is always full")
def test_full_disk_names_the_file(site, part):
    part.symlink_to("/dev/full")
    with pytest.raises(OSError, match="No space left on device") as caught:
        download(site.url(), part)
    assert caught.value.filename == str(part)


def test_discarded_download_leaves_nothing(site, part):
    leave_half(site, part)
    discard(part)
    discard(part)
    assert not os.listdir(part.parent)


@pytest.mark.parametrize("head", [b"\x89HDF\r\n\x1a\n", b"\x08\x07\x12\x07pytorch", CONTENT[:64]])
def test_weights_are_not_taken_for_something_else(head):
    assert not_weights(head) is None
