"""Sections as one page that needs nothing else: style, script and pictures are in it."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from importlib.resources import files
from string import Template

from narrows.report.content import Figure, LeftOut, Section
from narrows.report.markup import Html, escaped, joined, tag


@dataclass(frozen=True)
class Part:
    """A part of a page: sections under a heading of their own.

    Parameters
    ----------
    name : str
        Its address; part of those of its sections.
    title : str
        Its heading; empty where the page has one part.
    made : sequence of Section or LeftOut
        In their order.
    """

    name: str
    title: str
    made: Sequence[Section | LeftOut]

    @property
    def sections(self) -> list[Section]:
        """Those that have something to show."""
        return [one for one in self.made if isinstance(one, Section)]

    def address(self, section: Section) -> str:
        """Address of a section within the page."""
        return f"{self.name}-{section.name}" if self.name else section.name


def page(title: str, brief: Sequence[str], parts: Sequence[Part], command: str, version: str) -> str:
    """Put a page together.

    Parameters
    ----------
    title : str
        Its heading.
    brief : sequence of str
        Sentences for who reads no further.
    parts : sequence of Part
        What follows.
    command : str
        The command line that makes the page.
    version : str
        Of narrows.
    """
    template = Template(_file("page.html"))
    return template.substitute(
        title=escaped(title),
        style=_file("page.css"),
        script=_file("page.js"),
        brief=joined(tag("p", sentence) for sentence in brief),
        contents=tag("ol", *(_entry(part) for part in parts)),
        sections=joined(map(_part, parts)),
        footer=tag("p", f"narrows {version}: ", tag("code", command)),
    )


def count_sections(whole: str) -> int:
    """Sections of a page that have something to show."""
    return whole.count("<section ")


def _file(name: str) -> str:
    return (files("narrows.report") / name).read_text(encoding="utf-8")


def _entry(part: Part) -> Html:
    """Lines of the contents for a part."""
    links = [tag("li", tag("a", one.title, href=f"#{part.address(one)}")) for one in part.sections]
    if not part.title:
        return joined(links)
    return tag("li", tag("a", part.title, href=f"#{part.name}"), tag("ol", *links))


def _part(part: Part) -> Html:
    level = 3 if part.title else 2
    heading = [tag("h2", part.title, id=part.name)] if part.title else []
    left_out = [one for one in part.made if isinstance(one, LeftOut)]
    sections = [_section(one, part.address(one), level) for one in part.sections]
    return joined([*heading, *sections, _left_out(left_out, level)])


def _section(section: Section, address: str, level: int) -> Html:
    heading = tag(f"h{level}", section.title, id=f"{address}-title")
    drawn = map(_figure, section.figures)
    whole = (heading, tag("p", section.help, class_="help"), *drawn)
    return tag("section", *whole, id=address, aria_labelledby=f"{address}-title")


def _figure(figure: Figure) -> Html:
    facts = tag("div", f"Unit: {figure.unit}. n: {figure.sample}. Made by ", tag("code", figure.command))
    return tag("figure", figure.body, tag("figcaption", tag("p", figure.says), facts))


def _left_out(left_out: Iterable[LeftOut], level: int) -> Html:
    """What there is nothing to show of, and why."""
    items = [tag("li", tag("b", one.title), ": ", one.why) for one in left_out]
    return joined([tag(f"h{level}", "Left out, and why"), tag("ul", *items)] if items else [])
