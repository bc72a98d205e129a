"""A view that learns from a stream, small enough to be followed by hand, and detectors made of it.

As a program it is the command line, which then knows the view:

    python tests/detection/learner.py stream MODEL ...
"""

import sys

import numpy as np
import torch
from torch import Tensor

from narrows.data.schema import Schema, infer_schema
from narrows.detection.detector import Detector
from narrows.detection.files import FittedDetector
from narrows.detection.fit import split
from narrows.detection.near import Near
from narrows.detection.reasons import Typical
from narrows.detection.view import View, shares_of_norm

KIND = "tracking"
RATE = 0.05


class Tracking(View, kind=KIND):
    """Distance from a centre, which follows the rows by descent with momentum."""

    learns = True

    def __init__(self, scaling: str = "standard", references: int = 2, k: int = 1, weight: float = 1.0) -> None:
        super().__init__(scaling, references, k, weight)
        self.register_buffer("centre", torch.zeros(0))
        self.register_buffer("velocity", torch.zeros(0))

    def fit(self, near: Near, seed: int) -> Tensor:
        self.centre = near.rows.mean(0)
        self.velocity = torch.zeros_like(self.centre)
        return self(near)

    def learn(self, near: Near) -> None:
        gradient = self.centre - near.rows.mean(0)
        self.velocity = 0.5 * self.velocity - RATE * gradient
        self.centre = self.centre + self.velocity

    def shares(self, near: Near) -> Tensor:
        return shares_of_norm((near.rows - self.centre).double().square())


def tracking(values: np.ndarray, schema: Schema | None = None, calibration: int = 400) -> FittedDetector:
    """A detector of this view alone."""
    schema = schema or infer_schema(values)
    detector = Detector(schema, [Tracking()])
    rows = torch.from_numpy(values)
    fitted_on, held_out = split(rows, calibration, 0)
    detector.fit(fitted_on, held_out, 0)
    typical = Typical(schema)
    typical.fit(fitted_on)
    record = {"rows": len(rows), "calibration_rows": calibration, "contaminated": False, "seed": 0}
    return FittedDetector(detector.eval(), typical, "detector-fast", record)


if __name__ == "__main__":
    from narrows.cli import main

    torch.set_num_threads(1)
    main(sys.argv[1:])
