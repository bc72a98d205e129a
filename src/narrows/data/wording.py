"""What the messages of the readers share: every one is a single line, however odd the names in it are."""

from __future__ import annotations

import difflib
from collections.abc import Iterable

_LISTED = 20
_QUOTED = 200
_DETAIL = 160


def listed(names: Iterable[object]) -> str:
    """Names for a sentence, the first twenty of them."""
    quoted = [short(name) for name in names]
    rest = len(quoted) - _LISTED
    return ", ".join(quoted[:_LISTED]) + (f" and {rest} more" if rest > 0 else "")


def nearest(name: str, names: Iterable[str]) -> str:
    """``'; did you mean ...?'`` where one of the names comes near, else nothing."""
    close = difflib.get_close_matches(name, list(names), n=1)
    return f"; did you mean {short(close[0])}?" if close else ""


def short(value: object) -> str:
    """One value on one line and not longer than a line bears; text in quotes."""
    # The repr of NumPy's text names its type; that of a date is how to construct it.
    return cut(repr(str(value)) if isinstance(value, str) else " ".join(str(value).split()))


def cut(text: str) -> str:
    """A text no longer than a line bears."""
    return text if len(text) <= _QUOTED else f"{text[:_QUOTED]}..."


def brief(error: BaseException) -> str:
    """What another library says of its trouble, folded into one line."""
    text = " ".join(str(error).split()) or type(error).__name__
    return text if len(text) <= _DETAIL else f"{text[:_DETAIL]}..."
