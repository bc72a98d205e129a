"""What a view of a row promises to the detector."""

from __future__ import annotations

from abc import abstractmethod
from typing import ClassVar

import torch
from torch import Tensor

from narrows.detection.near import Near
from narrows.errors import at_least
from narrows.parts import Part

REFERENCES = 2048


class View(Part, axis="view"):
    """One way to look at rows beside their neighbours: the farther from what training rows are, the higher the score.

    Letters: n rows, f features. Everything learnt is a buffer, so that it is saved with the detector.

    Parameters
    ----------
    scaling : {"standard", "asinh", "range"}
        Of the features, in which neighbours are found; see `narrows.detection.scaling`.
    references : int
        Training rows kept to compare with.
    k : int
        Neighbours of which the mean is taken; 0 where rows are not compared.
    weight : float
        Of the view in the detector's sum.
    """

    learns: ClassVar[bool] = False  # whether `learn` follows a stream

    def __init__(self, scaling: str, references: int, k: int, weight: float) -> None:
        super().__init__()
        at_least("view.weight", weight, 0)
        self.scaling = scaling
        self.references = references
        self.k = k
        self.weight = weight

    @abstractmethod
    def fit(self, near: Near, seed: int) -> Tensor:
        """Learn from training rows as seen from outside: each beside other rows than itself.

        Returns
        -------
        Tensor, shape (m,)
            Scores of them, or of some, each as if the row had not been learnt from.
        """

    @abstractmethod
    def shares(self, near: Near) -> Tensor:
        """Parts (n, f), one a feature, whose sum is the score of each row; some may be negative."""

    def learn(self, near: Near) -> None:
        """Learn from further rows, where the view `learns`."""
        raise NotImplementedError(f"the view {self.kind} does not learn from a stream")

    def forward(self, near: Near) -> Tensor:
        """Scores (n,), not negative."""
        return self.shares(near).sum(1)


def shares_of_norm(terms: Tensor) -> Tensor:
    """Share out sqrt(sum of terms) in proportion to the terms (n, f)."""
    root = terms.sum(1, keepdim=True).clamp_min(0).sqrt()
    return torch.where(root > 0, terms / root.clamp_min(1e-300), 0.0)
