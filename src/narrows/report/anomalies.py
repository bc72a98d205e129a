"""What a detector marks: its threshold and false alarms, and the rows that are most unlike the training rows."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import torch
from torch import Tensor

from narrows.apps.detect import guarantee
from narrows.apps.plane import MOST_CLASSES
from narrows.detection.calibration import check_rate, threshold
from narrows.detection.reasons import cell_name
from narrows.errors import InputError
from narrows.report.charts import histogram
from narrows.report.content import Figure
from narrows.report.images import picture, row_of, shown
from narrows.report.markup import Html, bars, joined, table, tag
from narrows.report.subject import DetectorSubject, counted, first_line

RATES = (0.1, 0.05, 0.01, 0.001)
TOP = 10
COLUMNS = 6
FAR = 0.999  # quantile of the scores where the chart ends


def about_detector(subject: DetectorSubject) -> Iterator[Figure]:
    """Say what the detector looks at, and how it was fitted."""
    fitted = subject.fitted
    views = [(view["kind"], first_line(part)) for view, part in _views(subject)]
    body = table(("view", "what it asks"), views, "views of the detector")
    says = f"What preset {fitted.preset} looks at; the score of a row is the sum of -ln P(as high) over the views."
    yield Figure(body, says, "none", counted(len(views), "view"), subject.own_command)
    record = fitted.record
    facts = [
        (name.replace("_", " "), value) for name, value in record.items() if isinstance(value, (int, float, str, bool))
    ]
    facts += [("bytes of the file", subject.file_bytes)]
    says = "What the record in the file says."
    yield Figure(table(("", ""), facts, "fitting"), says, "as named", "one fit", subject.own_command)


def _views(subject: DetectorSubject) -> Iterator[tuple[dict[str, object], torch.nn.Module]]:
    return zip(subject.fitted.detector.spec(), subject.fitted.detector.views, strict=True)


def false_alarms(subject: DetectorSubject) -> Iterator[Figure]:
    """Draw the scores beside those of calibration, and list thresholds with what each marks."""
    detector, scores, rate = subject.fitted.detector, subject.scores, subject.asked.false_alarm_rate
    limit = threshold(detector.calibration, rate)
    end = float(torch.cat([detector.calibration, scores]).quantile(FAR))
    groups = [
        ("these rows", scores.clamp_max(end).numpy()),
        (f"{len(detector.calibration):,} held-out training rows", detector.calibration.clamp_max(end).numpy()),
    ]
    chart = histogram(groups, (f"threshold at {rate:g}", limit), "scores", "score, nats")
    says = "How scores are spread, those far out at the end of the chart. Rows right of the threshold are marked."
    beside = f"{subject.rows.said}, beside {len(detector.calibration):,} that calibrate"
    yield Figure(chart, says, "nats", beside, subject.detect_command)
    lines = [(each, *_marked(subject, each)) for each in sorted({*RATES, rate}, reverse=True)]
    heads = ("false-alarm rate asked for", "threshold, nats", "rows marked", "share of the rows")
    says = f"What each rate marks among these rows. What is promised: {guarantee(subject.fitted, False)}."
    yield Figure(table(heads, lines, "thresholds"), says, "nats, rows", beside, subject.detect_command)
    if subject.rows.labels is not None:
        yield _by_label(subject, scores > limit)


def _marked(subject: DetectorSubject, rate: float) -> tuple[object, ...]:
    """Threshold, rows marked and their share at a rate; or that so few calibration rows cannot hold it."""
    calibration = subject.fitted.detector.calibration
    try:
        check_rate(calibration, rate)
    except InputError:
        return ("too few calibration rows", None, None)
    limit = threshold(calibration, rate)
    marked = subject.scores > limit
    return (limit, int(marked.sum()), float(marked.double().mean()))


def _by_label(subject: DetectorSubject, marked: Tensor) -> Figure:
    labels = np.asarray(subject.rows.labels).astype(str)
    names, counts = np.unique(labels, return_counts=True)
    common = names[np.argsort(-counts, kind="stable")][:MOST_CLASSES]
    lines = [(name, int((labels == name).sum()), float(marked.numpy()[labels == name].mean())) for name in common]
    says = f"Share of the rows of each label that is marked at {subject.asked.false_alarm_rate:g}."
    body = table(("label", "rows", "share marked"), lines, "marked by label")
    return Figure(body, says, "share of the rows", subject.rows.said, subject.detect_command)


def top_anomalies(subject: DetectorSubject) -> Iterator[Figure]:
    """Show the rows with the highest scores, each with what its score comes from."""
    places = subject.scores.argsort(descending=True)[:TOP]
    raw = subject.rows.tensor[places]
    shares = subject.fitted.detector.contributions(raw)
    reasons = subject.fitted.reasons(raw)
    p = subject.fitted.detector.p_values(subject.scores[places])
    lines = [
        (
            f"row {int(place)}",
            float(subject.scores[place]),
            float(p[i]),
            tag("div", reasons[i], class_="words"),
            _shares(subject, raw[i], shares[i]),
        )
        for i, place in enumerate(places)
    ]
    heads = ("row", "score, nats", "p-value", "reason", "what the score comes from")
    says = (
        "The highest scores, with the chance of one as high among normal rows and the columns that it comes from: "
        "a bar to each column's share, which add up to the score; one that speaks for the row is hatched."
    )
    body = table(heads, lines, "top anomalies")
    yield Figure(body, says, "nats", f"{len(lines)} of {subject.rows.said}", subject.detect_command)


def _shares(subject: DetectorSubject, raw: Tensor, shares: Tensor) -> Html:
    """Bars of the largest shares; of an image itself beside where its score comes from."""
    schema = subject.rows.schema
    if schema.is_image:
        image = shown(raw[None].numpy(), schema)
        heat = shares.clamp_min(0).view(schema.shape).sum(0)
        heat = heat / heat.max().clamp_min(1e-30) * 255
        where = row_of(heat.round().to(torch.uint8)[None, :, :, None].numpy(), "where its score comes from")
        return tag("div", picture(image[0], "the image"), where, class_="labelled")
    first = shares.abs().topk(min(COLUMNS, len(shares))).indices.tolist()
    rows = [(cell_name(schema, place), float(shares[place])) for place in first]
    return joined([bars(("column", "nats"), rows, "shares of the score")])
