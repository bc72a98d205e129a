"""How a model was made: its parts, its learning curves, and what the doctor found."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping
from typing import Any

from narrows.doctor import ROWS_LOOKED_AT, examine
from narrows.errors import InputError
from narrows.model import Model, parameters_in
from narrows.report.charts import Series, lines
from narrows.report.content import Figure
from narrows.report.markup import table, tag
from narrows.report.subject import ModelSubject, counted, first_line

OBJECTIVE = "the objective, which is made small"
DISTORTION = "distortion: -ln p(x given its code)"
ROUNDING = 1e-5  # of distortion and rate: what is left of the objective besides them, and is no term
Term = Callable[[Mapping[str, float]], float]
SETTINGS = ("batch_size", "optimizer", "rate", "schedule", "average", "seed", "binarize")


def about_model(subject: ModelSubject) -> Iterator[Figure]:
    """Say what was chosen on each axis, and how training went."""
    fitted = subject.fitted
    parts = fitted.model.recipe.parts()
    chosen = [(axis, part.kind, first_line(part)) for axis, part in parts.items()]
    record = fitted.record
    yield Figure(
        table(("axis", "kind", "what it is"), chosen, "parts of the model"),
        f"What preset {fitted.preset} chose on each axis; narrows parts says what else there is.",
        "none",
        counted(len(chosen), "part"),
        subject.own_command,
    )
    data = record.get("data", {})
    facts: list[tuple[str, object]] = [
        ("trained numbers", parameters_in(fitted.model)),
        ("numbers in a code", fitted.model.latent.size),
        ("rows given to training", data.get("rows")),
        ("of them held out, to choose the best weights", data.get("held_out")),
        ("steps", record.get("steps")),
        ("seconds of training", record.get("seconds")),
        ("bytes of the file", subject.file_bytes),
    ]
    plan = record.get("plan", {})
    facts += [(name.replace("_", " "), plan[name]) for name in SETTINGS if plan.get(name) is not None]
    facts += list(record.get("versions", {}).items())
    says = "What the training record in the file says."
    yield Figure(table(("", ""), facts, "training"), says, "as named", "one training", subject.own_command)


def learning_curves(subject: ModelSubject) -> Iterator[Figure]:
    """Draw each term against the epochs, on training rows and on held-out rows; a term that is 0 is left out."""
    history = subject.fitted.record.get("history") or []
    if not history:
        raise InputError(f"{subject.name} holds no figures of its training, so there is no curve to draw")
    drawn = {title: _curves(history, term) for title, term in _terms(subject.fitted.model).items()}
    charts = [lines(series, title, "epoch", "nats a row") for title, series in drawn.items() if series]
    data = subject.fitted.record.get("data", {})
    sample = f"{counted(len(history), 'epoch')}"
    if data:
        sample += f" of {data['rows'] - data['held_out']:,} training rows, and {data['held_out']:,} held-out rows"
    says = (
        "The objective, and each term of it that is not 0: means over the last steps of an epoch, and over held-out "
        "rows at its end."
    )
    yield Figure(tag("div", *charts, class_="charts"), says, "nats a row", sample, subject.own_command)


def _terms(model: Model) -> dict[str, Term]:
    """What the charts draw, by their titles."""
    rate = "rate: KL(q || p)" if model.latent.random else f"price of the code, {model.latent.kind}"
    return {
        OBJECTIVE: lambda held: held["nats"],
        DISTORTION: lambda held: held["distortion"],
        rate: lambda held: held["rate"],
        model.objective.besides: _besides,
    }


def _besides(held: Mapping[str, float]) -> float:
    """What the objective holds besides distortion and rate; 0 where that is but rounding."""
    rest = held["nats"] - held["distortion"] - held["rate"]
    return 0.0 if abs(rest) <= ROUNDING * (abs(held["distortion"]) + abs(held["rate"])) else rest


def _curves(history: list[Mapping[str, Any]], term: Term) -> list[Series]:
    """One term on training rows, and on held-out rows where there are some; what is no number is left out.

    Nothing, where it is 0 throughout.
    """
    series = []
    for key, name in (("training", "training rows"), ("validation", "held-out rows")):
        points = [(entry["epoch"], term(entry[key])) for entry in history if _finite(entry[key])]
        if points:
            series.append(Series(name, *zip(*points, strict=True)))
    return series if any(y for one in series for y in one.y) else []


def _finite(held: Mapping[str, float | None] | None) -> bool:
    """Whether there are figures, and all of them are numbers."""
    return held is not None and all(value is not None and math.isfinite(value) for value in held.values())


def findings(subject: ModelSubject) -> Iterator[Figure]:
    """List what the doctor found when the model was trained, and what it finds on these rows."""
    here = [(one.name, one.what, one.remedy) for one in examine(subject.fitted.model, subject.rows.tensor)]
    then = [(one["name"], one["what"], one["remedy"]) for one in subject.fitted.record.get("findings", [])]
    rows = [(*one, "here") for one in here] + [(*one, "in training") for one in then if one not in here]
    columns = ("finding", "how it shows", "what to do", "seen")
    nothing = tag("p", "Nothing: no collapsed code, no idle unit, no spread at its floor, no unit of the data apart.")
    body = table(columns, rows, "findings") if rows else nothing
    looked_at = counted(min(len(subject.rows), ROWS_LOOKED_AT))
    says = "What the doctor found in training, and what it finds here."
    yield Figure(body, says, "none", f"{looked_at}, and the training record", subject.own_command)
