"""From models and rows to a page."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from typing import TypeVar

import narrows
from narrows.report.brief import brief
from narrows.report.compared import anchor, detectors_compared, models_compared
from narrows.report.content import Section, section
from narrows.report.page import Part, page
from narrows.report.subject import DetectorSubject, ModelSubject
from narrows.report.topics import DATA, sections

# Of each of several models; narrows report makes a longer page of one.
SHORT = ("learning", "findings", "reconstructions", "figures", "alarms", "anomalies")

Subject = ModelSubject | DetectorSubject
S = TypeVar("S")


def report(subjects: Sequence[Subject], command: str) -> str:
    """Write the page of a model, or of several beside one another.

    Parameters
    ----------
    subjects : sequence of ModelSubject or DetectorSubject
        At least one, on the same data.
    command : str
        The command line that makes it.

    Returns
    -------
    str
        HTML that refers to nothing outside itself.
    """
    data = subjects[0].rows.data
    if len(subjects) == 1:
        (only,) = subjects
        return page(f"{only.name} on {data}", brief(only), [Part("", "", sections(only))], command, narrows.__version__)
    title = f"{len(subjects)} models on {data}"
    first = Part("", "", [_compared(subjects, command), section(DATA, subjects[0])])
    rest = [Part(anchor(one, i), one.name, sections(one, SHORT)) for i, one in _numbered(subjects)]
    said = [
        f"{len(subjects)} models on the same data. A report of one alone, with all sections, is made by the command "
        f"line that stands under its figures."
    ]
    return page(title, said, [first, *rest], command, narrows.__version__)


def _compared(subjects: Sequence[Subject], command: str) -> Section:
    models, detectors = _of(subjects, ModelSubject), _of(subjects, DetectorSubject)
    tables = (*models_compared(models, command), *detectors_compared(detectors, command))
    how = "Compare within a column; a model may lack a figure, and then there is a dash."
    return Section("compared", "The models compared", how, tables)


def _of(subjects: Iterable[Subject], kind: type[S]) -> list[S]:
    return [one for one in subjects if isinstance(one, kind)]


def _numbered(subjects: Sequence[Subject]) -> Iterator[tuple[int, Subject]]:
    """Each with its place among those of its kind."""
    yield from enumerate(_of(subjects, ModelSubject))
    yield from enumerate(_of(subjects, DetectorSubject))
