import os
from concurrent.futures import ThreadPoolExecutor

import pytest

from data.errors import BackboneError
from embedder import download as downloads
from embedder.fetch import fetch, import_weights
from embedder.weights import RECORD, require_weights
from tests.embedder.weight_files import h5_bytes, set_row, sha256, stay_inside
from tests.http_server import breaks_after, claims, says, serving, stalls_after

NAME = "arcface_weights.h5"
LINE = "{}  " + NAME + "\n"


@pytest.fixture
def folder(tmp_path, monkeypatch):
    return stay_inside(monkeypatch, tmp_path / "home")


@pytest.fixture
def content(tmp_path):
    return h5_bytes(tmp_path)


@pytest.fixture
def other(tmp_path):
    return h5_bytes(tmp_path, seed=1)


@pytest.fixture
def site(content):
    with serving(content) as site:
        yield site


@pytest.fixture
def known(site, content, monkeypatch):
    """A file whose hash is known, served."""
    set_row(monkeypatch, NAME, site.url(NAME), known=content)


@pytest.fixture
def unknown(site, monkeypatch):
    """A file whose hash nobody knows, served."""
    set_row(monkeypatch, NAME, site.url(NAME))


def files(folder):
    return sorted(name for name in os.listdir(folder) if name != ".faceprobe.lock")


# fetch


def test_known_file_arrives_and_nothing_is_recorded(folder, site, known, content):
    assert fetch(NAME) == folder / NAME
    assert (folder / NAME).read_bytes() == content
    assert files(folder) == [NAME]


def test_file_that_is_there_is_not_fetched_again(folder, site, known):
    fetch(NAME)
    site.asked.clear()
    assert fetch(NAME) == folder / NAME
    assert not site.asked


def test_damaged_file_is_replaced(folder, site, known, content):
    folder.mkdir(parents=True)
    (folder / NAME).write_bytes(content[:-1])
    fetch(NAME)
    assert (folder / NAME).read_bytes() == content


def test_wrong_file_never_gets_the_name_and_is_forgotten(folder, site, known, content, other):
    site.content = other
    with pytest.raises(BackboneError) as caught:
        fetch(NAME)
    message = str(caught.value)
    assert f"its SHA-256 is {sha256(other)}, the known one is {sha256(content)}" in message
    assert "faceprobe weights import FILE" in message
    assert files(folder) == []


def test_mirrors_are_tried_in_order_and_each_is_quoted(folder, site, content, monkeypatch):
    with serving(content) as gone:
        nowhere = gone.url(NAME)
    addresses = [nowhere, *(site.url(f"{n}/{NAME}") for n in range(4))]
    set_row(monkeypatch, NAME, *addresses, known=content)
    site.answers = [says(404), says(200), claims(len(content) + 1), says(503)]
    with pytest.raises(BackboneError) as caught:
        fetch(NAME)
    said = str(caught.value).splitlines()
    assert [line.strip() for line in said[1:11:2]] == addresses
    words = ("Connection refused", "404 Not Found", "it is a web page, not weights", "bytes, expected", "503 Service")
    assert [word for word, line in zip(words, said[2:11:2], strict=True) if word not in line] == []
    assert [path for path, _ in site.asked] == [f"/{n}/{NAME}" for n in range(4)]
    assert files(folder) == []


def test_next_mirror_is_used_when_one_stalls(folder, site, content, monkeypatch):
    monkeypatch.setattr(downloads, "STALL_SECONDS", 0.2)
    with serving(content) as slow:
        slow.answers = [stalls_after(0)]
        set_row(monkeypatch, NAME, slow.url(NAME), site.url(NAME), known=content)
        fetch(NAME)
    assert (folder / NAME).read_bytes() == content


def test_stopped_fetch_is_continued_by_the_next(folder, site, known, content):
    site.answers = [breaks_after(200_000), says(500)]
    with pytest.raises(BackboneError, match="The same command goes on where it stopped"):
        fetch(NAME)
    assert files(folder) == [f"{NAME}.part", f"{NAME}.part.json"]
    left = (folder / f"{NAME}.part").stat().st_size
    fetch(NAME)
    assert site.ranges()[-1] == f"bytes={left}-"
    assert (folder / NAME).read_bytes() == content
    assert files(folder) == [NAME]


def test_first_download_of_an_unknown_file_is_recorded(folder, site, unknown, content):
    fetch(NAME)
    assert (folder / RECORD).read_text() == LINE.format(sha256(content))


def test_later_change_is_refused_until_its_line_is_deleted(folder, site, unknown, content, other):
    fetch(NAME)
    (folder / NAME).unlink()
    site.content, site.validators = other, {"ETag": '"second"'}
    with pytest.raises(BackboneError) as caught:
        fetch(NAME)
    assert f"its SHA-256 is {sha256(other)}, the recorded one is {sha256(content)}" in str(caught.value)
    assert f"delete its line in {folder / RECORD}" in str(caught.value)
    assert files(folder) == [RECORD]
    (folder / RECORD).write_text("")
    fetch(NAME)
    assert (folder / RECORD).read_text() == LINE.format(sha256(other))


def test_known_hash_wins_over_a_record(folder, site, known, content, other):
    folder.mkdir(parents=True)
    (folder / RECORD).write_text(LINE.format(sha256(other)))
    fetch(NAME)
    assert (folder / NAME).read_bytes() == content


def test_unknown_file_cut_short_is_not_taken_for_the_truth(folder, site, unknown, content):
    site.answers = [claims(len(content) - 1000)]
    with pytest.raises(BackboneError, match=r"it is damaged or of another kind: .*truncated file"):
        fetch(NAME)
    assert files(folder) == []


@pytest.mark.parametrize("kind", ["h5", "onnx"])
def test_unknown_bytes_are_not_taken_for_the_truth(folder, site, monkeypatch, capfd, kind):
    site.content = b"\x08\x07 no weights at all"
    name = f"arcface_weights.{kind}"
    set_row(monkeypatch, name, site.url())
    with pytest.raises(BackboneError, match="it is damaged or of another kind"):
        fetch(name)
    assert files(folder) == []
    assert capfd.readouterr() == ("", "")


def test_own_server_comes_first(folder, site, content, monkeypatch):
    monkeypatch.setenv("FACEPROBE_WEIGHTS_URL", site.url("models/"))
    set_row(monkeypatch, "ghostfacenet_v1.h5", "http://127.0.0.1:1/GhostFaceNet_W1.3_S1_ArcFace.h5")
    fetch("ghostfacenet_v1.h5")
    assert [path for path, _ in site.asked] == ["/models/ghostfacenet_v1.h5"]
    assert (folder / "ghostfacenet_v1.h5").read_bytes() == content


def test_backbone_means_the_file_it_prefers_or_has(folder, site, known, monkeypatch):
    set_row(monkeypatch, "arcface_weights.onnx", site.url("absent"))
    site.answers = [says(404)]
    with pytest.raises(BackboneError, match=r"arcface_weights\.onnx could not be fetched"):
        fetch("ArcFace")
    fetch(NAME)
    site.asked.clear()
    assert fetch("ArcFace") == folder / NAME
    assert not site.asked


@pytest.mark.parametrize(
    ("name", "words"), [("Dlib", "Dlib needs no weight file"), ("ArcFase", "unknown 'ArcFase'; known are ArcFace, ")]
)
def test_name_without_weights_is_refused(folder, name, words):
    with pytest.raises(BackboneError, match=words):
        fetch(name)


def test_two_at_once_end_well_and_fetch_once(folder, site, unknown, content):
    with ThreadPoolExecutor(4) as threads:
        paths = list(threads.map(fetch, [NAME] * 4))
    assert set(paths) == {folder / NAME}
    assert (folder / NAME).read_bytes() == content
    assert len(site.asked) == 1
    assert (folder / RECORD).read_text() == LINE.format(sha256(content))


# import


@pytest.fixture
def stick(tmp_path):
    """A folder of the user's."""
    (tmp_path / "stick").mkdir()
    return tmp_path / "stick"


def test_file_is_recognised_by_its_known_hash(folder, stick, known, content):
    (stick / "download (1)").write_bytes(content)
    assert import_weights(stick / "download (1)") == folder / NAME
    assert (folder / NAME).read_bytes() == content
    assert files(folder) == [NAME]


@pytest.mark.parametrize("called", ["ghostfacenet_v1.h5", "GhostFaceNet_W1.3_S1_ArcFace.h5"])
def test_unknown_file_is_recognised_by_its_name_or_that_in_its_url(folder, stick, content, called):
    (stick / called).write_bytes(content)
    assert import_weights(stick / called) == folder / "ghostfacenet_v1.h5"
    assert (folder / RECORD).read_text() == f"{sha256(content)}  ghostfacenet_v1.h5\n"


def test_unknown_file_under_any_name_needs_to_be_told(folder, stick, content):
    path = stick / "weights (1).h5"
    path.write_bytes(content)
    with pytest.raises(BackboneError, match=r"not recognised, neither .*\nSay with --as .*openface_weights\.h5"):
        import_weights(path)
    with pytest.raises(BackboneError, match="not recognised"):
        import_weights(path, name="openface.h5")
    assert import_weights(path, name="openface_weights.h5") == folder / "openface_weights.h5"


def test_file_that_is_known_as_another_is_refused(folder, stick, known, content):
    (stick / "facenet_weights.onnx").write_bytes(content)
    with pytest.raises(BackboneError, match=rf"is {NAME} by its SHA-256, not openface_weights\.h5"):
        import_weights(stick / "facenet_weights.onnx", name="openface_weights.h5")
    assert import_weights(stick / "facenet_weights.onnx") == folder / NAME


def test_wrong_file_is_refused_and_an_earlier_one_stays(folder, stick, known, content, other):
    (stick / NAME).write_bytes(content)
    import_weights(stick / NAME)
    (stick / NAME).write_bytes(other)
    with pytest.raises(BackboneError, match=f"cannot be {NAME}: its SHA-256 is {sha256(other)}, the known one"):
        import_weights(stick / NAME)
    assert (folder / NAME).read_bytes() == content


def test_damaged_file_in_the_folder_is_replaced_by_a_good_one(folder, stick, known, content):
    folder.mkdir(parents=True)
    (folder / NAME).write_bytes(content[:100])
    (stick / NAME).write_bytes(content)
    import_weights(stick / NAME)
    assert (folder / NAME).read_bytes() == content


@pytest.mark.parametrize(
    ("content", "words"), [(b"<html>", "web page"), (b"version https://git-lfs", "git-LFS"), (b"", "empty")]
)
def test_what_a_browser_or_git_saved_in_place_of_the_file_is_said(folder, stick, content, words):
    (stick / "arcface_weights.onnx").write_bytes(content)
    with pytest.raises(BackboneError, match=f"cannot be arcface_weights.onnx: .*{words}"):
        import_weights(stick / "arcface_weights.onnx")


def test_file_that_already_lies_in_the_folder_is_recorded(folder, content):
    folder.mkdir(parents=True)
    (folder / "openface_weights.h5").write_bytes(content)
    import_weights(folder / "openface_weights.h5")
    assert files(folder) == [RECORD, "openface_weights.h5"]
    assert require_weights("OpenFace", ["openface_weights.h5"]) == folder / "openface_weights.h5"


@pytest.mark.parametrize("name", ["absent.h5", "."])
def test_what_is_no_file_is_refused(folder, stick, name):
    with pytest.raises(BackboneError, match="no file"):
        import_weights(stick / name)


def test_medium_that_reads_differently_the_second_time_leaves_nothing(folder, stick, content, monkeypatch):
    path = stick / "openface_weights.h5"
    path.write_bytes(content)
    monkeypatch.setattr("embedder.weights.sha256_of_file", lambda path: sha256(b"what was read first"))
    monkeypatch.setattr("embedder.fetch.sha256_of_file", lambda path: sha256(b"what was read first"))
    with pytest.raises(BackboneError, match="changed while it was copied"):
        import_weights(path)
    assert files(folder) == []
