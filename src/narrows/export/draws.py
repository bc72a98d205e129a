"""Random draws as numbers of a graph."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence

from torch import Tensor, nn

from narrows.inference import SCORE_SEED
from narrows.noise import Noise


class Draws(nn.Module):
    """The draws that all rows share, kept as they fell once.

    Parameters
    ----------
    function : callable
        What draws, given what makes the noise to draw from. It is called once.
    """

    def __init__(self, function: Callable[[Callable[[], Noise]], object]) -> None:
        super().__init__()
        kept: list[Tensor] = []
        function(lambda: _Keeping(kept))
        for place, drawn in enumerate(kept):
            self.register_buffer(f"draw{place}", drawn)

    def again(self) -> Callable[[], Noise]:
        """Return what makes noise that gives the same draws in the same order."""
        draws = self.buffers()
        return lambda: _Repeating(draws)


class _Keeping(Noise):
    """The noise by which rows are scored; one row's share of each draw is kept."""

    def __init__(self, kept: list[Tensor]) -> None:
        super().__init__(SCORE_SEED, shared=True)
        self.kept = kept

    def _spread(self, draw: Callable[..., Tensor], shape: Sequence[int], rows: int) -> Tensor:
        spread = super()._spread(draw, shape, rows)
        self.kept.append(spread.narrow(rows, 0, 1).clone())
        return spread


class _Repeating(Noise):
    """Draws that fell before, for any number of rows."""

    def __init__(self, draws: Iterator[Tensor]) -> None:
        super().__init__(SCORE_SEED, shared=True)
        self.draws = draws

    def _spread(self, draw: Callable[..., Tensor], shape: Sequence[int], rows: int) -> Tensor:
        return next(self.draws).expand(tuple(shape))
