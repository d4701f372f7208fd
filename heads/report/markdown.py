"""A report as Markdown: its words and tables, which names no image and shows no plot."""

from collections.abc import Iterator

from heads.report.blocks import Block, Cell, Headline, Report, Table

_SPECIAL = str.maketrans({character: f"\\{character}" for character in "\\`*_[]|~#"} | {"<": "&lt;", "&": "&amp;"})


def render_markdown(report: Report) -> str:
    """The report's text, with GitHub's tables."""
    lines = [f"# {_text(report.title)}", _text(report.subtitle)]
    lines += [f"> **{_text(warning)}**" for warning in report.warnings]
    lines += ["\n".join(map(_headline, report.summary))]
    for section in report.sections:
        own = [part for block in section.blocks for part in _block(block, level=3)]
        lines += [f"## {_text(section.title)}", *own] if own else []
    return "\n\n".join(lines) + "\n"


def _headline(headline: Headline) -> str:
    lead, said, model, contrast = map(_text, (headline.lead, headline.figure, headline.model, headline.contrast))
    interval = f" ({_text(headline.interval)})" if headline.interval else ""
    line = f"- {lead}: **{said}**{interval}, {model} ({contrast})"
    return "\n".join([line, *(f"  - {_text(verdict)}" for verdict in headline.verdicts)])


def _block(block: Block, *, level: int) -> Iterator[str]:
    """A block with anything but plots and faces in it, and what is folded away on the page."""
    if block.title and (block.tables or block.code or (block.more and block.more.tables)):
        yield f"{'#' * level} {_text(block.title)}"
    if block.tables or block.code:
        if block.caption:
            yield _text(block.caption)
        if block.code:
            yield "\n".join(f"    {line}" for line in block.code.splitlines())
        for table in block.tables:
            yield from filter(None, [f"**{_text(table.title)}**" if table.title else "", _table(table)])
    if block.more:
        yield from _block(block.more, level=level + 1)


def _table(table: Table) -> str:
    rule = ["---" if column < table.words else "--:" for column in range(len(table.header))]
    rows = [[_cell(cell) for cell in row.cells] for row in table.rows]
    return "\n".join(f"| {' | '.join(fields)} |" for fields in ([*map(_text, table.header)], rule, *rows))


def _cell(cell: Cell) -> str:
    text = _text(cell.text)
    bold = f"**{text}**" if cell.best else text
    return " ".join([bold, *(f"({_text(beside)})" for beside in (cell.badge, cell.note) if beside)])


def _text(text: str) -> str:
    """Text that Markdown and HTML take as it is, on one line."""
    return " ".join(text.split()).translate(_SPECIAL)
