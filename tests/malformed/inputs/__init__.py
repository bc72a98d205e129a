"""Malformed and hostile inputs, made by code, with what is done with each."""

from inputs import arrays, cells, columnar, models, places, scoring, text
from inputs.case import Case

GROUPS: dict[str, tuple[Case, ...]] = {
    "Tables of text": text.CASES,
    "Cells and columns": cells.CASES,
    "ARFF, JSON, Parquet and Arrow": columnar.CASES,
    "Arrays and images": arrays.CASES,
    "Rows for a trained model": scoring.CASES,
    "Files of models": models.CASES,
    "Names, folders and options": places.CASES,
}
