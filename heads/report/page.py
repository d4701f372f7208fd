"""A report as one HTML page that holds all it needs: no script, no network, readable on paper and on a phone."""

from heads.report.blocks import Report


def render_page(report: Report) -> str:
    """The page; every text in it is escaped by the template."""
    import jinja2

    environment = jinja2.Environment(
        loader=jinja2.PackageLoader("heads.report", "."),
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    return environment.get_template("page.html.j2").render(report=report)
