"""Frames to words: every field, to the character."""

import re

from data.labels import AGE_GROUPS
from heads.report.facts import confusion, mean_error, mix_ups
from heads.report.study import studies_of
from heads.report.tables import (
    SEEDED_BADGE,
    backbones_table,
    classes_table,
    confusion_table,
    counts_table,
    errors_table,
    glossary,
    groups_off_table,
    mix_ups_table,
    results_table,
)
from tests.heads.report.small import (
    AGE,
    DUMMY,
    GENDER,
    GROUP,
    NET,
    comparison_of,
    dataset_of,
    facts_of,
    people,
    predicted,
    run_of,
)

OTHER = ("other", "dense")


def study_of(task, *parts, **changes):
    predictions = [predicted(task, *part) for part in parts]
    comparison = comparison_of(*predictions, tasks=[task])
    (study,) = studies_of(comparison, dataset_of(people()), run_of([task], ["net", "other"], **changes))
    return study


def texts(table) -> list[list[str]]:
    return [[cell.text for cell in row.cells] for row in table.rows]


def best(table) -> list[list[str]]:
    return [[cell.text for cell in row.cells if cell.best] for row in table.rows]


def ages(*said):
    comparison = comparison_of(
        predicted(AGE, DUMMY, [10, 20], [15, 15]), *(predicted(AGE, m, [10, 20], s) for m, s in said), tasks=[AGE]
    )
    return results_table(comparison.figures, comparison.cells, AGE, run_of([AGE], ["net", "other"]))


def test_results_have_every_metric_and_cost_with_its_interval():
    table = ages((NET, [11, 23]))
    assert table.header == (
        *("backbone", "head", "MAE", "CS@5", "bias", "balanced MAE"),
        *("train s", "embed ms", "dim", "MB"),
    )
    assert texts(table)[1] == [
        *("net", "dense", "2.00", "100.0%", "+2.00", "2.00"),
        *("1.5", "5.0", "12", "1.0"),
    ]
    assert texts(table)[0][-3:] == ["-", "-", "-"]
    mae, shares, *_ = (cell.note for cell in table.rows[1].cells[2:])
    assert re.fullmatch(r"-?\d+\.\d\d to \d+\.\d\d", mae)
    assert shares == "100.0 to 100.0%"
    assert [row.muted for row in table.rows] == [True, False]


def test_best_of_each_column_is_marked_and_never_the_dummy():
    table = ages((NET, [12, 22]), (OTHER, [10, 14]))
    assert best(table) == [[], ["2.00", "100.0%", "+2.00", "2.00"], []]


def test_equal_figures_are_both_the_best():
    assert [len(marks) for marks in best(ages((NET, [12, 22]), (OTHER, [12, 22])))] == [0, 4, 4]


def test_a_single_model_is_not_called_the_best():
    assert best(ages((NET, [12, 22]))) == [[], []]


def test_seeded_backbone_is_marked_in_its_name_and_by_a_badge():
    comparison = comparison_of(predicted(AGE, ("net seeded:0", "dense"), [10, 20], [11, 23]), tasks=[AGE])
    run = run_of([AGE], backbones={"net seeded:0": facts_of("net seeded:0", seeded=True)})
    for table in (results_table(comparison.figures, comparison.cells, AGE, run), backbones_table(run)):
        (row,) = table.rows
        assert (row.cells[0].text, row.cells[0].badge) == ("net seeded:0 †", SEEDED_BADGE)


def test_random_weights_are_never_the_best_of_a_column():
    lucky, net, worse = ("lucky seeded:0", "dense"), ("net", "dense"), ("net", "linear")
    said = {lucky: [10, 20], net: [11, 23], worse: [15, 29]}
    comparison = comparison_of(*(predicted(AGE, model, [10, 20], of) for model, of in said.items()), tasks=[AGE])

    def best(*, seeded: bool) -> list[str]:
        backbones = {"net": facts_of("net", seeded=seeded), "lucky seeded:0": facts_of("lucky", seeded=True)}
        table = results_table(comparison.figures, comparison.cells, AGE, run_of([AGE], backbones=backbones))
        return [row.cells[1].text + " " + row.cells[0].text for row in table.rows if row.cells[2].best]

    assert best(seeded=False) == ["dense net"]
    assert best(seeded=True) == []


def test_parts_of_a_concatenation_are_listed_once_and_only_the_seeded_one_is_marked():
    trained, seeded = facts_of("net"), facts_of("other seeded:1", seeded=True)
    both = {**facts_of("net+other seeded:1", seeded=True), "parts": [*trained["parts"], *seeded["parts"]]}
    table = backbones_table(run_of([AGE], backbones={"net": trained, "net+other seeded:1": both}))
    assert [(row.cells[0].text, row.cells[0].badge) for row in table.rows] == [
        ("net", ""),
        ("other seeded:1 †", SEEDED_BADGE),
    ]
    assert texts(table)[0][1:] == [f"{3:016x}", "ab" * 32, "ours", "none 1.0"]


def test_glossary_explains_the_columns_that_are_there():
    comparison = comparison_of(predicted(GENDER, NET, [0, 1], [0, 1]), tasks=[GENDER])
    words = [row.cells[0].text for row in glossary(comparison.results).rows]
    assert words == ["accuracy", "balanced", "macro F1", "train s", "embed ms", "dim", "MB"]


def test_errors_have_bars_in_proportion_and_the_dummy_none():
    study = study_of(AGE, (NET, [0, 4, 8], [2, 4, 12]), (DUMMY, [0, 4, 8], [50, 50, 50]))
    table = errors_table(study, mean_error(study.rows, study.rows["gender"]), models=[NET, DUMMY], by="gender")
    assert table.header == ("gender", "n", "net, dense", "dummy")
    assert texts(table) == [["female", "1", "0.00", "46.00"], ["male", "2", "3.00", "46.00"]]
    assert [[cell.share for cell in row.cells] for row in table.rows] == [[None, None, 0, None], [None, None, 1, None]]


def test_errors_of_classes_are_shares_and_a_missing_one_is_a_dash():
    study = study_of(GENDER, (NET, [0, 1, 0], [0, 0, 0]), (OTHER, [0], [0]))
    table = errors_table(study, mean_error(study.rows, study.rows["gender"]), models=[NET, OTHER])
    assert texts(table) == [["female", "1", "100.0%", "-"], ["male", "2", "0.0%", "0.0%"]]


def test_groups_off_of_predicted_ages():
    said = [(NET, [1, 1, 1, 1, 1], [0, 2, 5, 9, 90]), (DUMMY, [1, 1, 1, 1, 1], [2, 2, 2, 2, 2])]
    table = groups_off_table(study_of(AGE, *said))
    assert table.header[1:] == ("exact", "1 off", "2 off", "3 or more", "within one")
    rows = {row[0]: row[1:] for row in texts(table)}
    assert rows["net, dense"] == ["20.0%", "20.0%", "20.0%", "40.0%", "40.0%"]
    assert rows["dummy"] == ["0.0%", "100.0%", "0.0%", "0.0%", "100.0%"]


def test_groups_off_are_counted_by_the_groups_chosen():
    said = (NET, [10, 10], [12, 70])
    five = groups_off_table(study_of(AGE, said, age_groups=AGE_GROUPS["five"]))
    assert texts(five)[0][1:] == ["50.0%", "0.0%", "0.0%", "50.0%", "50.0%"]  # Child, Child; Child, Senior
    assert groups_off_table(study_of(GENDER, (NET, [0, 1], [0, 1]))) is None


def test_confusion_is_per_cent_of_the_true_class_and_an_empty_cell_a_dot():
    study = study_of(GENDER, (NET, [0, 0, 0, 1], [0, 0, 1, 1]))
    table = confusion_table(study, NET, confusion(study.rows, 2))
    assert table.matrix
    assert table.header == ("true \\ predicted", "male", "female", "n")
    assert texts(table) == [["male", "67", "33", "3"], ["female", "·", "100", "1"]]
    assert [cell.share for cell in table.rows[0].cells] == [None, 0.667, 0.333, None]


def test_class_that_does_not_occur_has_an_empty_line():
    study = study_of(GENDER, (NET, [0, 0], [0, 1]))
    counts = confusion(study.rows, 2)
    assert texts(confusion_table(study, NET, counts))[1] == ["female", "·", "·", "0"]
    assert texts(classes_table(study, NET, counts))[1] == ["female", "0", "0.0%", "-", "0.0%"]


def test_classes_have_precision_recall_and_f1():
    study = study_of(GENDER, (NET, [0, 0, 0, 1], [0, 0, 1, 1]))
    table = classes_table(study, NET, confusion(study.rows, 2))
    assert texts(table) == [["male", "3", "100.0%", "66.7%", "80.0%"], ["female", "1", "50.0%", "100.0%", "66.7%"]]


def test_mix_ups_are_named():
    study = study_of(GROUP, (NET, [0, 0, 9], [1, 1, 9]))
    assert texts(mix_ups_table(study, NET, mix_ups(confusion(study.rows, 10)))) == [["Baby", "Toddler", "2"]]


def test_reasons_are_counted_by_what_they_concern():
    left = {"all": {"unreadable": 1234}, "age": {}, "gender": {"no label": 2}}
    table = counts_table(left, title="", header=("task", "reason", "rows"))
    assert texts(table) == [["all", "unreadable", "1,234"], ["gender", "no label", "2"]]
