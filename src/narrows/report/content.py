"""What a page is made of: figures that say what they are, sections of them, and what was left out."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Generic, TypeVar

from narrows.errors import InputError
from narrows.report.markup import Html

S_contra = TypeVar("S_contra", contravariant=True)
S = TypeVar("S")


@dataclass(frozen=True)
class Figure:
    """Something shown, with what a reader must know to use it.

    Parameters
    ----------
    body : Html
        Pictures, a chart or a table.
    says : str
        What is shown, in a sentence.
    unit : str
        Unit of its numbers.
    sample : str
        How many of what it rests on, such as ``1,000 rows``.
    command : str
        The command line that makes it.
    """

    body: Html
    says: str
    unit: str
    sample: str
    command: str


@dataclass(frozen=True)
class Topic(Generic[S_contra]):
    """What a section is about, whichever the model is.

    Parameters
    ----------
    name : str
        Its address within the page.
    title : str
        Its heading.
    help : str
        How it is read, in a sentence.
    figures : callable
        From what is reported to the figures; `InputError` where the model or the data have no such thing.
    """

    name: str
    title: str
    help: str
    figures: Callable[[S_contra], Iterable[Figure]]


@dataclass(frozen=True)
class Section:
    """A topic with its figures.

    Parameters
    ----------
    name, title, help : str
        Of the topic.
    figures : tuple of Figure
        At least one.
    """

    name: str
    title: str
    help: str
    figures: tuple[Figure, ...]


@dataclass(frozen=True)
class LeftOut:
    """A topic of which there is nothing to show.

    Parameters
    ----------
    title : str
        Its heading.
    why : str
        What the model or the data say of it.
    """

    title: str
    why: str


def section(topic: Topic[S], subject: S) -> Section | LeftOut:
    """Make the figures of a topic; where a part refuses, its sentence stands in their place."""
    try:
        figures = tuple(topic.figures(subject))
    except InputError as refusal:
        return LeftOut(topic.title, str(refusal))
    return Section(topic.name, topic.title, topic.help, figures)
