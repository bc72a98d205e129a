"""The graph of a detector."""

from __future__ import annotations

import copy

from torch import Tensor, nn

from narrows.detection.detector import Detector
from narrows.export.graphs import ROWS, Graph, Port, rows_of, users, usual_dtype


class DetectorScore(nn.Module):
    """Raw values -> the anomaly score of each row, in nats."""

    def __init__(self, detector: Detector) -> None:
        super().__init__()
        self.detector = detector

    def forward(self, raw: Tensor) -> Tensor:
        """Score values in the user's layout."""
        scores: Tensor = self.detector(rows_of(self.detector.schema, raw))
        return scores


def graphs_of_detector(detector: Detector, rows: Tensor) -> list[Graph]:
    """Return the one graph of a detector, ``score``, measured on raw rows (n, *shape)."""
    schema = detector.schema
    detector = copy.deepcopy(detector).eval()
    raw = Port("raw", (ROWS, *schema.user_shape), "values in the units of the data")
    score = Port("score", (ROWS,), "sum over views of -ln P(a view's score is as high), in nats; high is anomalous")
    sample = users(schema, rows.to(usual_dtype(schema)))
    return [Graph("score", DetectorScore(detector), raw, score, sample, lambda x: detector.scores(rows_of(schema, x)))]
