import shutil

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from embedder import engine
from embedder.engine import InProcess, Jobs
from embedder.known import Contents
from tests.fakes import embedded, fake_backbone


@pytest.mark.parametrize("dtype", ["string[pyarrow]", object])
@given(positions=st.lists(st.integers(0, 9)), at=st.slices(10))
def test_jobs_are_what_a_list_of_them_would_be(dtype, positions, at):
    names = [f"/faces/{number}.jpg" for number in range(10)]
    jobs = Jobs(np.array(positions, np.int64), pd.Series(names, range(50, 60), dtype=dtype))
    expected = [(position, names[position]) for position in positions]
    assert [*jobs] == [jobs[number] for number in range(len(jobs))] == expected
    assert [*jobs[at]] == [*jobs[:][at]] == expected[at]
    assert len(jobs[at]) == len(expected[at])


def test_block_of_a_face_without_numbers_is_a_status(tmp_path, draw_image):
    backbone = fake_backbone()
    embed = backbone._runtime.embed
    backbone._runtime.embed = lambda faces: embed(faces) * np.nan
    draw_image(tmp_path / "a.png", seed=1)
    settled = {backbone.spec.fingerprint: Contents(np.empty(0, "S32"))}
    (block,) = InProcess([backbone]).run([(0, str(tmp_path / "a.png"))], settled)
    embedded = block.embedded[backbone.spec.fingerprint]
    assert [status for status, _ in embedded.outcomes.values()] == ["no_embedding"]
    assert len(embedded.vectors) == 0


def test_copy_in_the_next_block_is_not_embedded_again(tmp_path, draw_image, monkeypatch):
    monkeypatch.setattr(engine, "BLOCK_PER_CORE", 1)
    backbone = fake_backbone()
    draw_image(tmp_path / "0.png", seed=1)
    for number in range(1, 6):
        shutil.copy(tmp_path / "0.png", tmp_path / f"{number}.png")
    settled = {backbone.spec.fingerprint: Contents(np.empty(0, "S32"))}
    rows = []
    for block in InProcess([backbone], cores=1).run([(n, str(tmp_path / f"{n}.png")) for n in range(6)], settled):
        rows += [key for each in block.embedded.values() for key in each.outcomes]
        block.settle(settled)
    assert len(rows) == embedded(backbone) == 1
