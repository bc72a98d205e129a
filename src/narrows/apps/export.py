"""What other programs need of a model: its graphs, or the small file that a decoder needs."""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from narrows.apps.reading import Reading
from narrows.atomic import check_target
from narrows.errors import InputError, check_seed
from narrows.records import plain

if TYPE_CHECKING:
    from torch import Tensor

    from narrows.export import Exported
    from narrows.study.tables import Table


@dataclass(frozen=True)
class ExportedCodec:
    """A codec file.

    Parameters
    ----------
    file : str
        Its name.
    kind : str
        Of the codec.
    codec : str
        Its name, by which the files that it wrote call it.
    file_bytes : int
        Its length.
    """

    file: str
    kind: str
    codec: str
    file_bytes: int


@dataclass(frozen=True)
class ExportedGraphs:
    """A folder of graphs.

    Parameters
    ----------
    folder : str
        Its name.
    files : list of str
        All that is in it.
    graphs : list of Exported
        What each takes and gives, and how far it is from the model.
    """

    folder: str
    files: list[str]
    graphs: list[Exported]

    def tables(self) -> list[Table]:
        """The graphs, and what was written beside them."""
        from narrows.study.tables import Table

        columns = ("graph", "file", "bytes", "rows compared", "rows apart", "largest error", "largest relative error")
        rows = [(one.name, one.file, one.file_bytes, *dataclasses.astuple(one.compared)) for one in self.graphs]
        others = [(name,) for name in self.files if name not in {one.file for one in self.graphs}]
        return [
            Table(f"graphs in {self.folder}, each beside the model itself", columns, rows),
            Table("beside them", ("file",), others),
        ]

    def record(self) -> dict[str, Any]:
        """All of it, as plain values."""
        return dict(plain(self))


def export(
    model: Path,
    output: Path,
    data: str | None = None,
    codec: bool = False,
    form: Literal["onnx", "torch"] = "onnx",
    web: Path | None = None,
    false_alarm_rate: float = 0.01,
    seed: int = 0,
    reading: Reading = Reading(),  # noqa: B008  frozen
) -> ExportedCodec | ExportedGraphs:
    """Write a model as graphs that other programs run, each compared with the model itself.

    Parameters
    ----------
    model : Path
        A model file, or a detector file.
    output : Path
        A new folder for the graphs, with model.json, which says all that is needed to run them; with --codec, the file
        to write, by custom with the suffix .codec.
    data : str, optional
        Rows to compare on, of which the first 1,000 are taken; without them rows are drawn from the range of the data.
    codec : bool
        Write instead the small file that is all that decompress needs of a model that compresses.
    form : {"onnx", "torch"}
        ONNX graphs, or torch.export's .pt2 files.
    web : Path, optional
        The npm package onnxruntime-web, as npm pack onnxruntime-web gets it (.tgz), or a folder that holds it. With it
        the folder gets index.html, one page that runs the graphs in a browser and fetches nothing.
    false_alarm_rate : float
        Of a detector: share of normal rows that may be above the threshold in model.json.
    seed : int
        Of the rows that are drawn.
    reading : Reading
        How to read the data.
    """
    if codec:
        return _codec(model, output, data, web)
    check_seed(seed)
    if web is not None and form != "onnx":
        raise InputError(f"a page runs ONNX graphs, and --format is {form}; leave --format or --web out")

    from narrows.export import export_graphs, read_runtime

    runtime = None if web is None else read_runtime(web)
    rows = None if data is None else _rows(model, data, reading)
    made = export_graphs(model, output, form, rows, false_alarm_rate=false_alarm_rate, seed=seed, runtime=runtime)
    return ExportedGraphs(str(output), sorted(path.name for path in output.iterdir()), made)


def _codec(model: Path, output: Path, data: str | None, web: Path | None) -> ExportedCodec:
    if web is not None:
        raise InputError("a page runs graphs, and --codec writes none; leave --codec or --web out")
    if data is not None:
        raise InputError(f"{data} was given to compare graphs on, and --codec writes none; leave one of them out")
    check_target(output, inputs=[model])

    from narrows.compression.files import fingerprint, open_compressor, save_codec

    compressor = open_compressor(model)
    size = save_codec(compressor, output)
    return ExportedCodec(str(output), compressor.kind, fingerprint(compressor), size)


def _rows(model: Path, data: str, reading: Reading) -> Tensor:
    """The first rows of data, as the model has them."""
    from narrows.export import rows_compared, schema_of
    from narrows.tensors import tensor_of

    schema = schema_of(model)
    return tensor_of(reading.read(data, schema).values[: rows_compared(schema)])
