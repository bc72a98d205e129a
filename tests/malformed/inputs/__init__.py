"""Malformed and hostile inputs, made by code, with what is done with each."""

from inputs import cells, text
from inputs.case import Case

GROUPS: dict[str, tuple[Case, ...]] = {
    "Tables of text": text.CASES,
    "Cells and columns": cells.CASES,
}
