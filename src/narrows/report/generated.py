"""New examples, and what each unit of the code stands for."""

from __future__ import annotations

import shlex
from collections.abc import Iterator

import numpy as np
import torch
from torch import Tensor

from narrows.data.writers import in_stored_type
from narrows.detection.reasons import cell_name
from narrows.errors import InputError
from narrows.generation.moves import check_moves
from narrows.inference import decoded
from narrows.inference import samples as sampled
from narrows.report.cells import cell_text, first_columns, names_of, said_of, texts_of
from narrows.report.content import Figure
from narrows.report.images import STRIP_SIDE, gallery, picture, row_of, shown
from narrows.report.markup import Html, table
from narrows.report.subject import ModelSubject, counted

SAMPLES = 32
STEPS = 9
ENDS = (0.01, 0.99)  # quantiles of a unit
MOST_UNITS = 32
MOVED = 3  # columns


def samples(subject: ModelSubject) -> Iterator[Figure]:
    """Show new examples, drawn from the prior, or from the density that stands in its place."""
    schema = subject.rows.schema
    made = in_stored_type(sampled(subject.fitted.model, SAMPLES, subject.asked.seed).numpy(), schema)
    if schema.is_image:
        pictures = (picture(image, f"new example {i + 1}") for i, image in enumerate(shown(made, schema)))
        body, output = gallery(pictures), "samples.png"
    else:
        columns = first_columns(schema)
        lines = [(i + 1, *texts_of(schema, row, columns)) for i, row in enumerate(made)]
        heads = (f"example{said_of(schema, columns)}", *names_of(schema, columns))
        body, output = table(heads, lines, "new examples"), "samples.csv"
    words = ["narrows", "generate", str(subject.asked.file), "-n", str(SAMPLES), "-o", output, *subject.asked.drawn]
    how = "codes drawn at random, decoded" if subject.fitted.model.latent.size else "drawn pixel by pixel"
    says = f"New examples: {how}. None of them is a row of the data."
    yield Figure(body, says, schema.describe(), counted(SAMPLES, "example"), shlex.join(words))


def traversals(subject: ModelSubject) -> Iterator[Figure]:
    """Decode the code of a typical row while one unit after the other goes from one end of its range to the other."""
    model = subject.fitted.model
    check_moves(model)
    if model.latent.sparse:
        raise InputError("codes are sparse, and a unit of them is told by the rows in which it is largest")
    units = subject.active[:MOST_UNITS]
    if not units:
        raise InputError("no unit of the code moves with these rows, so there is none to vary")
    middle = int(subject.errors[torch.from_numpy(subject.rows.spread)].argsort()[len(subject.codes) // 2])
    lines, ends = [], torch.quantile(subject.codes.double(), torch.tensor(ENDS).double(), 0).float()
    show = _strip if subject.rows.schema.is_image else _moved
    for unit in units:
        codes = subject.codes[middle].repeat(STEPS, 1)
        codes[:, unit] = torch.linspace(float(ends[0, unit]), float(ends[1, unit]), STEPS)
        low, high = (f"{float(end[unit]):.2f}" for end in ends)
        lines.append((f"z{unit}", f"{low} to {high}", show(subject, decoded(model, codes), unit)))
    says = (
        f"Row {subject.rows.spread[middle]}, whose error is the middle one, decoded while one number of its code goes "
        f"from the first to the last hundredth of what it is among the rows. The {counted(len(units), 'active unit')} "
        f"that tell most come first."
    )
    body = table(("unit", "from, to", "what changes"), lines, "what each unit does")
    sample = f"range of each unit over {counted(len(subject.codes))}"
    yield Figure(body, says, f"{subject.rows.schema.describe()}; codes have no unit", sample, subject.own_command)


def _strip(subject: ModelSubject, made: Tensor, unit: int) -> Html:
    return row_of(shown(made.numpy(), subject.rows.schema, STRIP_SIDE), f"one row as unit z{unit} rises, {STEPS} steps")


def _moved(subject: ModelSubject, made: Tensor, unit: int) -> str:
    """The columns that change most, in deviations of the rows, from one end to the other."""
    schema, flat = subject.rows.schema, made.flatten(1).numpy()
    spread = np.nanstd(subject.rows.values.reshape(len(subject.rows), -1)[subject.rows.spread], 0)
    change = np.abs(flat[-1] - flat[0]) / np.where(spread > 0, spread, np.inf)
    said = []
    for place in np.argsort(-change)[:MOVED].tolist():
        ends = (cell_text(schema, place, float(flat[end, place])) for end in (0, -1))
        said.append(f"{cell_name(schema, place)}: {' → '.join(ends)}")
    return "; ".join(said)
