"""The laboratory: small models of which everything is known, measured and drawn."""

from __future__ import annotations

import importlib
import importlib.util
import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from narrows.apps.listing import Listing
from narrows.apps.output import note
from narrows.apps.showing import text
from narrows.apps.watching import waiting
from narrows.atomic import check_folder, writing
from narrows.errors import check_seed, unknown
from narrows.records import plain

if TYPE_CHECKING:
    from narrows.study.tables import Result, Table

# What each study asks; its module has `run`, and the module of that name among the charts has `draw`.
STUDIES: Mapping[str, str] = {
    "bound": "what the evidence lower bound is below, and by how much",
    "gradients": "which estimator of the gradient to trust, and what its noise costs",
    "latents": "why the codes of a variational autoencoder can be drawn and those of a basic one cannot",
    "descent": "full batch, mini-batch or one at a time: what is gained and what is lost",
}
NO_FIGURES = "no figures were drawn, for matplotlib is not installed: pip install 'narrows[report]'"


@dataclass(frozen=True)
class Studied:
    """What a study found: tables for a person, all of it for a machine.

    Parameters
    ----------
    result : Result
        The figures.
    files : list of str
        What was written.
    """

    result: Result
    files: list[str]

    def tables(self) -> list[Table]:
        """The tables, and the files written below them."""
        from narrows.study.tables import Table

        written = [Table("written", ("file",), [(file,) for file in self.files])] if self.files else []
        return [*self.result.tables(), *written]

    def record(self) -> dict[str, Any]:
        """All figures, and the names of the files."""
        return {**plain(self.result), "files": self.files}


def study(name: str | None = None, output: Path | None = None, seed: int = 0) -> Listing | Studied:
    """Measure what the theory says on models small enough to know everything of; without a name, list the studies.

    Parameters
    ----------
    name : str, optional
        One of bound, gradients, latents and descent.
    output : Path, optional
        Folder for the figures (PNG), the tables (Markdown) and all numbers (JSON); what stands there under the same
        names is replaced.
    seed : int
        Of weights, order and draws.
    """
    if name is None:
        return Listing(("study", "what it asks"), list(STUDIES.items()))
    if name not in STUDIES:
        raise unknown("study", name, STUDIES)
    check_seed(seed)
    if output is not None:
        check_folder(output)
    with waiting(f"study {name}"):
        result = importlib.import_module(f"narrows.study.{name}").run(seed)
    return Studied(result, [] if output is None else _written(name, result, output))


def _written(name: str, result: Result, folder: Path) -> list[str]:
    """Write numbers and figures, each file whole or not at all; return their names."""
    folder.mkdir(parents=True, exist_ok=True)
    texts = {
        folder / f"{name}.json": json.dumps(plain(result), indent=1) + "\n",
        folder / f"{name}.md": "\n".join(_markdown(table) for table in result.tables()),
    }
    for file, said in texts.items():
        with writing(file) as beside:
            beside.write_text(said, encoding="utf-8")
    if importlib.util.find_spec("matplotlib") is None:
        note(NO_FIGURES)
        return [str(file) for file in texts]
    figures = importlib.import_module(f"narrows.study.charts.{name}").draw(result)
    drawn = {folder / f"{stem}.png": figure for stem, figure in figures.items()}
    for file, figure in drawn.items():
        with writing(file) as beside:
            figure.savefig(beside, format="png", metadata={"Software": None})
    return [str(file) for file in (*texts, *drawn)]


def _markdown(table: Table) -> str:
    """A table under its title, as GitHub shows it."""
    rows = [["" if cell is None else text(cell) for cell in row] for row in table.rows]
    lines = [list(table.columns), ["---"] * len(table.columns), *rows]
    return f"{table.title}\n\n" + "".join("| " + " | ".join(_escaped(line)) + " |\n" for line in lines)


def _escaped(cells: list[str]) -> list[str]:
    return [cell.replace("|", "\\|") for cell in cells]
