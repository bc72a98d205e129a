"""A folder of graphs: each measured as it was written, and all that another program needs to run them."""

from __future__ import annotations

import dataclasses
import hashlib
import importlib.resources
import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

import narrows
from narrows.atomic import writing_folder
from narrows.data.arrow import MISSING
from narrows.errors import InputError
from narrows.export.agreement import Agreement, agreement
from narrows.export.formats import FORMATS
from narrows.export.graphs import Graph, Port
from narrows.export.rows import drawn_rows, rows_compared
from narrows.export.runtime import Runtime
from narrows.export.source import Source, open_source, plain_tensor
from narrows.export.tracing import UNTRACED
from narrows.export.web import PAGE, page

FORMAT = 1
DESCRIPTION = "model.json"
NO_FORMAT = "no other format can; use the model in Python, or train another preset (narrows presets lists them)"
BOUNDARY = (
    "Graphs take raw values in their own units; whatever brings them to one scale is inside. In a table a missing cell "
    "is NaN, a cell of a column with categories is the place of its value among them, counted from 0, and their number "
    "for any other value. Images have the layout said here."
)


@dataclass(frozen=True)
class Exported:
    """One graph that was written.

    Parameters
    ----------
    name, file : str
        The graph, and its file within the folder.
    file_bytes : int
        The length of the file.
    takes, gives : Port
        Its input and its output.
    dtype : str
        Type of both.
    grain : int
        Sides of images are multiples of this.
    compared : Agreement
        How far what the file gives is from what the package gives.
    """

    name: str
    file: str
    file_bytes: int
    takes: Port
    gives: Port
    dtype: str
    grain: int
    compared: Agreement


def export_graphs(
    path: Path,
    folder: Path,
    form: str = "onnx",
    rows: Tensor | None = None,
    *,
    false_alarm_rate: float = 0.01,
    seed: int = 0,
    runtime: Runtime | None = None,
) -> list[Exported]:
    """Write the graphs of a model file, each compared with the package; the folder appears whole or not at all.

    Parameters
    ----------
    path : Path
        Of an autoencoder, or of a detector.
    folder : Path
        A new folder. Beside the graphs it gets ``model.json`` and, of ONNX graphs, ``example.py``.
    form : str
        A name of `FORMATS`.
    rows : Tensor, shape (n, *shape), optional
        Raw rows on which they are compared, the first 1,000 of them; otherwise rows are drawn.
    false_alarm_rate : float
        Of a detector: by which ``model.json`` states the threshold.
    seed : int
        Of the rows drawn.
    runtime : Runtime, optional
        Of ONNX graphs: with it, the folder gets a page that runs them in a browser, too.

    Raises
    ------
    InputError
        If there are no such graphs, or one cannot be traced or differs from the package (`narrows.export.agreement`).
    """
    FORMATS[form].check()
    source = open_source(path, false_alarm_rate)
    some = drawn_rows(source.schema, source.low, source.high, seed) if rows is None else rows
    with writing_folder(folder) as beside:
        graphs = source.graphs(some[: rows_compared(source.schema)])
        made = [_written(graph, form, beside, source.preset) for graph in graphs]
        said = description(source, made, form, path)
        (beside / DESCRIPTION).write_text(json.dumps(said, indent=1, allow_nan=False) + "\n", encoding="utf-8")
        if FORMATS[form].example:
            text = importlib.resources.files("narrows.export").joinpath(FORMATS[form].example).read_text("utf-8")
            (beside / FORMATS[form].example).write_text(text, encoding="utf-8")
        if runtime is not None:
            (beside / PAGE).write_text(page(said, beside, runtime), encoding="utf-8", newline="\n")
    return made


def _written(graph: Graph, form: str, folder: Path, preset: str) -> Exported:
    """Write one graph, run the file, and compare."""
    file = folder / f"{graph.name}{FORMATS[form].suffix}"
    try:
        FORMATS[form].write(graph, file)
        given = FORMATS[form].run(file, graph)
    except FORMATS[form].failures() as error:
        remedy = NO_FORMAT if isinstance(error, UNTRACED) else FORMATS[form].remedy
        raise InputError(
            f"the graph {graph.name} of preset {preset} cannot be written as {form} ({type(error).__name__}); {remedy}"
        ) from error
    compared = agreement(graph.name, given, graph.own(graph.sample), graph.unit)
    dtype = str(graph.sample.dtype).removeprefix("torch.")
    return Exported(graph.name, file.name, file.stat().st_size, graph.takes, graph.gives, dtype, graph.grain, compared)


def description(source: Source, made: list[Exported], form: str, path: Path) -> dict[str, Any]:
    """Return what ``model.json`` says: data, transforms, threshold and graphs, in plain JSON values."""
    schema = source.schema
    kinds = schema.columns or ()
    columns = [{"name": column.name, "kind": column.kind, "categories": column.categories} for column in kinds] or [
        {"name": name, "kind": "numeric", "categories": ()} for name in schema.names or ()
    ]
    return {
        "what": f"graphs of a narrows {source.kind}",
        "format": FORMAT,
        "preset": source.preset,
        "model_sha256": hashlib.sha256(path.read_bytes()).hexdigest(),
        "versions": {"narrows": narrows.__version__, "torch": torch.__version__, **FORMATS[form].versions()},
        "data": {"is": schema.describe(), **dataclasses.replace(schema.plain, names=None).to_json()},
        "boundary": BOUNDARY,
        "columns": columns,
        "missing": MISSING,
        "transforms": {name: plain_tensor(tensor) for name, tensor in source.transforms.items()},
        "alarm": None if source.alarm is None else dataclasses.asdict(source.alarm),
        "graphs": {one.name: _graph(one) for one in made},
    }


def _graph(one: Exported) -> dict[str, Any]:
    return {
        "file": one.file,
        "input": {**dataclasses.asdict(one.takes), "dtype": one.dtype},
        "output": dataclasses.asdict(one.gives),
        "sides_are_multiples_of": one.grain,
        "compared": dataclasses.asdict(one.compared),
    }
