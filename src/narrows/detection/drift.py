"""Whether the world has changed: a two-sample test between scores as they were and as they are."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor

WINDOW = 1000
LEVEL = 1e-4


@dataclass(frozen=True)
class Change:
    """A window of scores that is distributed otherwise than the reference.

    Parameters
    ----------
    statistic : float
        Largest distance between the two distribution functions, D = sup |F - G|.
    p : float
        Probability of one as large if they were drawn from one distribution.
    rows : int
        In the window.
    """

    statistic: float
    p: float
    rows: int


class Drift:
    """Compares each window of so many scores, none of which overlap, with reference scores (Kolmogorov, Smirnov 1939).

    While rows are exchangeable with those of the reference, a window is taken for changed with a probability of at
    most ``level``. The scores of a window that has changed then become the reference, so that a change is told once.

    Parameters
    ----------
    reference : Tensor, shape (m,)
        Scores.
    judge : callable
        Gives the scores of rows. It is asked once a window, with all rows of it.
    window : int
        Rows of a window.
    level : float
        Of the test.

    Attributes
    ----------
    recent : Tensor, shape (n, ...)
        Rows of the window that has begun.
    """

    def __init__(
        self, reference: Tensor, judge: Callable[[Tensor], Tensor], window: int = WINDOW, level: float = LEVEL
    ) -> None:
        import scipy.stats  # noqa: F401  now rather than in the first test, for which a row would have to wait

        self.reference = reference.clone()
        self.judge = judge
        self.window = window
        self.level = level
        self.recent = reference.new_zeros(0)

    def observe(self, rows: Tensor) -> list[tuple[int, Change]]:
        """Take rows (n, ...) in their order; return the changes found, each with the place of its window's last row."""
        changes = []
        missing = self.window - len(self.recent)
        self.recent = torch.cat([self.recent, rows]) if len(self.recent) else rows
        while len(self.recent) >= self.window:
            change = self._compared(self.judge(self.recent[: self.window]))
            if change is not None:
                changes.append((missing - 1, change))
            self.recent = self.recent[self.window :].clone()
            missing += self.window
        return changes

    def _compared(self, scores: Tensor) -> Change | None:
        from scipy.stats import ks_2samp

        found = ks_2samp(self.reference.numpy(), scores.numpy(), method="asymp")
        if found.pvalue > self.level:
            return None
        self.reference = scores.sort().values
        return Change(float(found.statistic), float(found.pvalue), len(scores))
