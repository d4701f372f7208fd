import pytest

from embedder.store import EmbeddingStore, open_store
from tests.stores import add


@pytest.fixture
def store(tmp_path) -> EmbeddingStore:
    """A store of three shards: a, b; c and the failure x; d."""
    made = open_store(tmp_path / "store", create=True)
    add(made, "a", "b")
    add(made, "c", failed=("x",))
    add(made, "d")
    return made
