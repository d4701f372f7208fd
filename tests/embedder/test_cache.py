"""What was found out once is remembered by its question; what cannot be read is found out again."""

import pytest

from embedder.cache import cache_folder, recall, remember

QUESTION = {"what": "lowest cosine", "weights": "aa", "versions": {"openvino": "1.0"}}


@pytest.fixture(autouse=True)
def cache(tmp_path, monkeypatch):
    """Keep it apart from the user's."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))


@pytest.mark.parametrize("answer", [0.99, "openvino", ""])
def test_answer_is_recalled_by_its_question_alone(answer):
    assert recall(QUESTION) is None
    remember(QUESTION, answer)
    assert recall(dict(reversed(QUESTION.items()))) == answer
    assert recall({**QUESTION, "versions": {"openvino": "1.1"}}) is None


@pytest.mark.parametrize("content", ["", "[]", "{}", "not json"])
def test_damaged_note_is_no_answer(content):
    remember(QUESTION, 1)
    (note,) = (cache_folder() / "found").iterdir()
    note.write_text(content)
    assert recall(QUESTION) is None
    remember(QUESTION, 2)
    assert recall(QUESTION) == 2
