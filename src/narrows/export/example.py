"""Run a graph of this folder with NumPy and onnxruntime alone: python example.py DATA.csv|DATA.npy GRAPH OUT.npy."""

import csv
import json
import sys
from pathlib import Path

import numpy as np
import onnxruntime

FOLDER = Path(__file__).parent
MODEL = json.loads((FOLDER / "model.json").read_text(encoding="utf-8"))


def encoded(cell: str, column: dict) -> float:
    """Return the number that stands for a cell: NaN for a missing one, its place for a category."""
    names = column["categories"]
    if cell in MODEL["missing"]:
        return np.nan
    return float(cell) if not names else names.index(cell) if cell in names else len(names)


def read(path: str) -> np.ndarray:
    """Return raw rows, as an array has them or by the names of their columns."""
    if path.endswith(".npy"):
        return np.load(path)
    with Path(path).open(newline="", encoding="utf-8") as file:
        return np.array([[encoded(row[one["name"]], one) for one in MODEL["columns"]] for row in csv.DictReader(file)])


if __name__ == "__main__":
    if len(sys.argv) != 4:
        sys.exit(__doc__)
    data, name, output = sys.argv[1:]
    graph = MODEL["graphs"][name]
    rows = read(data).astype(graph["input"]["dtype"])
    session = onnxruntime.InferenceSession(FOLDER / graph["file"])
    chunks = np.array_split(rows, len(rows) // 500 + 1)
    np.save(output, np.concatenate([session.run(None, {graph["input"]["name"]: some})[0] for some in chunks]))
