"""Maps of embeddings, and how alike backbones are."""

from dataclasses import replace

from heads.report.embeddings_section import FEWEST, embeddings_section
from tests.heads.report.small import facts_of, whole


def made(n: int = 24):
    comparison, data, run = whole(n)
    return data, run, comparison.cka


def test_maps_are_coloured_by_age_and_by_gender():
    ages, genders, _ = embeddings_section(*made()).blocks
    assert [key.text for key in ages.keys][:2] == ["0–3", "4–12"]
    assert [key.text for key in genders.keys] == ["female", "male"]
    assert ages.plots[0].title == "net"
    looks = {shape.look: 0 for shape in genders.plots[0].shapes}
    for shape in genders.plots[0].shapes:
        looks[shape.look] += shape.path.count("M")
    assert looks == {"speck s0": 12, "speck s1": 12}


def test_likeness_of_backbones_is_a_table():
    *_, block = embeddings_section(*made()).blocks
    assert [[cell.text for cell in row.cells] for row in block.tables[0].rows] == [["net", "other", "0.50"]]


def test_too_few_rows_and_embeddings_that_are_not_there_have_no_map():
    data, run, cka = made(FEWEST - 1)
    assert [block.title for block in embeddings_section(data, run, cka).blocks] == ["Do backbones see alike?"]
    data, run, cka = made()
    gone = replace(data, rows=replace(data.rows, vectors={}))
    assert embeddings_section(gone, run, cka.head(0)).blocks == ()


def test_concatenation_has_no_map_of_its_own():
    data, run, cka = made()
    facts = facts_of("net")
    both = {"net": facts, "net+b": {**facts, "parts": facts["parts"] * 2}}
    ages, *_ = embeddings_section(data, replace(run, backbones=both), cka).blocks
    assert [plot.title for plot in ages.plots] == ["net"]
