"""What a reader in a hurry wants to know of a model, in sentences."""

from __future__ import annotations

from collections.abc import Iterator
from functools import singledispatch

from narrows.apps.showing import text
from narrows.detection.calibration import threshold
from narrows.report.subject import DetectorSubject, ModelSubject


@singledispatch
def brief(subject: ModelSubject | DetectorSubject) -> list[str]:
    """Sentences that need no knowledge of the model."""
    raise TypeError(f"there is nothing to say of a {type(subject).__name__}")


@brief.register
def _(subject: ModelSubject) -> list[str]:
    found = subject.figures
    said = list(_of_code(subject) if found.code_size else _of_no_code(subject))
    if found.bits_per_dim is not None:
        said.append(
            f"As a model of what rows there are, it needs {text(found.bits_per_dim)} bits a cell at most, as its bound "
            f"on the likelihood says."
            if not found.density
            else f"Its bound on the log density is {text(found.elbo_nats)} nats a row, in the unit of the data."
        )
    return said


def _of_code(subject: ModelSubject) -> Iterator[str]:
    """What the code of a row keeps of it."""
    found = subject.figures
    yield (
        f"An autoencoder (preset {subject.fitted.preset}) rebuilds rows of {found.cells:,} numbers from a code of "
        f"{found.code_size:,} numbers. On {subject.rows.said} of {subject.rows.data} its squared error is "
        f"{text(found.reconstruction_error)} a cell ({found.error_unit})."
    )
    beside = [f"{number:,} principal components make {text(error)}" for number, error in subject.pca_errors.items()]
    if found.mean_error is not None:
        beside.append(f"the same guess for every row makes {text(found.mean_error)}")
    if beside:
        yield f"Beside it, {'; '.join(beside)}."
    if found.active_units is not None:
        yield f"Of the {found.units:,} units of its code {found.active_units:,} are in use on these rows."


def _of_no_code(subject: ModelSubject) -> Iterator[str]:
    """What stands in place of a code."""
    yield (
        f"A model without a code (preset {subject.fitted.preset}) tells the {subject.figures.cells:,} numbers of a row "
        f"from each other."
    )


@brief.register
def _(subject: DetectorSubject) -> list[str]:
    calibration, rate = subject.fitted.detector.calibration, subject.asked.false_alarm_rate
    limit = threshold(calibration, rate)
    marked = subject.scores > limit
    return [
        f"A detector (preset {subject.fitted.preset}) scores how unlike its training rows a row is. Of "
        f"{subject.rows.said} of {subject.rows.data} it marks {int(marked.sum()):,} "
        f"({float(marked.double().mean()):.1%}) as anomalies, at a false-alarm rate of {rate:g}: those with a score "
        f"above {text(limit)} nats."
    ]
