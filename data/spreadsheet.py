"""Tables as CSV that a spreadsheet opens as text and numbers, whatever the files in them are called."""

import pandas as pd

from data.images import printable

# With what a formula may begin, after spaces; also as wide as Chinese and Japanese characters
# (owasp.org/www-community/attacks/CSV_Injection). The apostrophe, so that taking one away gives every text back.
_MARKED = ("=", "+", "-", "@", "\uff1d", "\uff0b", "\uff0d", "\uff20", "'")


def to_csv(frame: pd.DataFrame, *, header: bool = True) -> str:
    r"""Write a table as comma-separated lines; commas, quotes and spaces in text are kept by quoting.

    Text that a spreadsheet might run as a formula gets an apostrophe in front, and so does text that begins with one.
    Control characters, a line's end among them, become escapes such as \n. Numbers are as they are. Without the header
    lines can be added to a table that has one.
    """
    text = [name for name in frame if not pd.api.types.is_numeric_dtype(frame[name])]
    safe = frame.assign(**{str(name): frame[name].map(_safe) for name in text})
    return safe.to_csv(index=False, header=header, lineterminator="\n")


def _safe(value: object) -> object:
    if not isinstance(value, str):
        return value
    value = printable(value)
    return f"'{value}" if value.lstrip().startswith(_MARKED) else value
