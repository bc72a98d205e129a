"""What is reported: rows, and a model or a detector beside them."""

from __future__ import annotations

import dataclasses
import shlex
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from narrows.apps.reading import Reading
from narrows.axes import Latent
from narrows.baseline import Baseline
from narrows.data.schema import Schema
from narrows.detection.files import FittedDetector
from narrows.evaluate import evaluate
from narrows.evaluate.reconstruction import errors, row_errors
from narrows.inference import check_code, codes
from narrows.persist import Fitted
from narrows.records import Evaluation
from narrows.tensors import tensor_of

SPREAD_ROWS = 1000  # rows that stand for all where each is drawn or sought


def active_units(latent: Latent, codes: Tensor, by_unit: list[float] | None) -> list[int]:
    """Units in use among codes (n, d), those first that tell most: by nats where these are known, else by variance."""
    used, size = latent.used(codes), codes.shape[1]
    told = torch.tensor(by_unit) if by_unit and len(by_unit) == size else codes.double().var(0)
    units = range(size) if len(used) != size else used.nonzero().flatten().tolist()
    return sorted(units, key=lambda unit: -float(told[unit]))


@dataclass(frozen=True)
class Rows:
    """Rows of data as a model has them, and how they were read.

    Parameters
    ----------
    data : str
        As a person named them.
    values : array, shape (n, x)
        Raw rows in their stored type.
    schema : Schema
        Of the rows.
    labels : array, shape (n,), or None
        One of each row.
    notes : tuple of str
        What was left out of the data, and why.
    colour : str
        Name of the values by which points are coloured.
    colours : array, shape (n,), or None
        These values.
    reading : Reading
        How the data are read.
    """

    data: str
    values: np.ndarray
    schema: Schema
    labels: np.ndarray | None
    notes: tuple[str, ...]
    colour: str
    colours: np.ndarray | None
    reading: Reading

    def __len__(self) -> int:
        """How many there are."""
        return len(self.values)

    @property
    def said(self) -> str:
        """How many there are, in words."""
        return counted(len(self))

    @cached_property
    def tensor(self) -> Tensor:
        """All of them as a tensor."""
        return tensor_of(self.values)

    @cached_property
    def spread(self) -> np.ndarray:
        """Places of at most 1,000 rows, evenly spread over all."""
        return np.linspace(0, len(self) - 1, min(len(self), SPREAD_ROWS)).round().astype(int)


@dataclass(frozen=True)
class Asked:
    """What a person asked for.

    Parameters
    ----------
    file : Path
        The model file.
    options : tuple of str
        Further words of the command line that made the report.
    rows : int
        Rows asked for, from the first; 0 for all.
    seed : int
        Of all draws.
    false_alarm_rate : float
        Share of normal rows that may be marked.
    """

    file: Path
    options: tuple[str, ...]
    rows: int
    seed: int
    false_alarm_rate: float

    @property
    def drawn(self) -> tuple[str, ...]:
        """Words that give the seed, where it is not the usual one."""
        return ("--seed", str(self.seed)) if self.seed else ()


@dataclass(frozen=True)
class _Subject:
    """What models and detectors have in common: rows, and what was asked."""

    asked: Asked
    rows: Rows

    @property
    def name(self) -> str:
        """Name of the file."""
        return self.asked.file.name

    @property
    def file_bytes(self) -> int:
        """Size of the file."""
        return self.asked.file.stat().st_size

    @property
    def own_command(self) -> str:
        """The command line that makes the report of this file alone."""
        return self.command("report", "-o", "report.html", *self.asked.options)

    def command(self, verb: str, *options: str) -> str:
        """Write the command line of a verb on the model and the data."""
        given = (str(self.asked.file), self.rows.data, *options, *self.rows.reading.words())
        return shlex.join(["narrows", verb, *given])


@dataclass(frozen=True)
class ModelSubject(_Subject):
    """A model to report, with its figures on rows.

    Parameters
    ----------
    asked : Asked
        What was asked for.
    rows : Rows
        Not those it was trained on.
    fitted : Fitted
        The model.
    """

    fitted: Fitted

    @cached_property
    def figures(self) -> Evaluation:
        """The figures of ``narrows evaluate``."""
        return evaluate(self.fitted, self.rows.tensor, seed=self.asked.seed)

    @property
    def evaluate_command(self) -> str:
        """The command line that gives these figures."""
        rows = ("--rows", str(self.asked.rows)) if self.asked.rows else ()
        return self.command("evaluate", *rows, *self.asked.drawn)

    @cached_property
    def errors(self) -> Tensor:
        """Mean squared error of each row, (n,)."""
        return row_errors(self.fitted.model, self.rows.tensor)

    @cached_property
    def codes(self) -> Tensor:
        """Codes (m, d) of the rows that stand for all; see `Rows.spread`."""
        return codes(self.fitted.model, self.rows.tensor[torch.from_numpy(self.rows.spread)])

    @cached_property
    def pca_errors(self) -> dict[int, float]:
        """Errors of principal components by their number: as many as a code has, and as a row keeps of a sparse one."""
        baseline, kept = self.fitted.baseline, self.fitted.model.latent.kept
        if not isinstance(baseline, Baseline) or not len(baseline.components):
            return {}
        found = {}
        for number in sorted({len(baseline.components), min(kept, len(baseline.components))}, reverse=True):
            beside = dataclasses.replace(baseline, components=baseline.components[:number])
            fitted = dataclasses.replace(self.fitted, baseline=beside)
            found[number] = errors(fitted, self.rows.tensor)["pca_error"]
        return found

    def check_rebuilt(self) -> None:
        """Raise `InputError` where nothing is rebuilt, because the numbers of a row are told from each other."""
        if not self.fitted.model.latent.size:
            check_code(self.fitted.model, "rebuild rows from")

    @property
    def active(self) -> list[int]:
        """Units in use among these rows, those first that tell most."""
        return active_units(self.fitted.model.latent, self.codes, self.figures.kl_by_unit_nats)


@dataclass(frozen=True)
class DetectorSubject(_Subject):
    """A detector to report, with its scores on rows.

    Parameters
    ----------
    asked : Asked
        What was asked for.
    rows : Rows
        Not those it was fitted to.
    fitted : FittedDetector
        The detector.
    """

    fitted: FittedDetector

    @cached_property
    def scores(self) -> Tensor:
        """Nats of each row, (n,)."""
        return self.fitted.detector.scores(self.rows.tensor)

    @property
    def detect_command(self) -> str:
        """The command line that gives these scores."""
        rate = ("--false-alarm-rate", f"{self.asked.false_alarm_rate:g}")
        return self.command("detect", "-o", "scores.csv", *rate, "--contributions")


def counted(n: int, what: str = "row") -> str:
    """Say how many there are: ``1 row``, ``1,000 rows``."""
    return f"{n:,} {what}{'' if n == 1 else 's'}"


def first_line(part: object) -> str:
    """What a part is: the first line of its docstring, without marks of code."""
    return (type(part).__doc__ or "").split("\n")[0].replace("``", "")
