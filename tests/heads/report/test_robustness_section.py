"""Worse images as the page shows them."""

from heads.report.robustness_section import robustness_section
from heads.report.study import studies_of
from tests.heads.report.small import whole
from tests.heads.report.test_plots import points_of


def test_each_corruption_has_a_plot_of_one_height_with_a_line_per_model():
    comparison, data, run = whole()
    (block,) = robustness_section(studies_of(comparison, data, run), comparison.robustness).blocks
    assert (block.title, [plot.title for plot in block.plots]) == ("age", ["blur", "noise"])
    blur, noise = ([y for _, y in points_of(plot, "line s0")] for plot in block.plots)
    assert blur[0] == noise[0]
    assert blur[0] - blur[2] == noise[0] - noise[1]  # two levels of blur harm as much as one of noise
    assert "9 rows" in block.caption


def test_without_a_measurement_there_is_no_section():
    comparison, data, run = whole()
    assert robustness_section(studies_of(comparison, data, run), None).blocks == ()
