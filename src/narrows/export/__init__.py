"""Models as graphs for other programs: raw values in, raw units out, and each measured against the package itself."""

from narrows.export.folder import Exported, export_graphs
from narrows.export.formats import FORMATS
from narrows.export.rows import rows_compared
from narrows.export.runtime import read_runtime
from narrows.export.source import schema_of

__all__ = ["FORMATS", "Exported", "export_graphs", "read_runtime", "rows_compared", "schema_of"]
