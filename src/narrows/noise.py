"""Randomness as an argument: a seeded source that every draw in the project takes from."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import torch
from torch import Tensor


class Noise:
    """A seeded stream of random tensors.

    Parameters
    ----------
    seed : int
        Equal seeds give equal streams on the same device.
    device : torch.device or str
        Where the tensors are made.
    shared : bool
        Give every example the *same* draw, so that the figure of a row does not depend on its neighbours in the
        batch. Each row's estimate stays unbiased; estimates of different rows become correlated.
    """

    def __init__(self, seed: int, device: torch.device | str = "cpu", *, shared: bool = False) -> None:
        self.generator = torch.Generator(device=device).manual_seed(seed)
        self.shared = shared

    def normal(self, shape: Sequence[int], *, rows: int) -> Tensor:
        """Standard normal draws of ``shape``, in which axis ``rows`` counts the examples."""
        return self._spread(torch.randn, shape, rows)

    def uniform(self, shape: Sequence[int], *, rows: int) -> Tensor:
        """Uniform draws on [0, 1) of ``shape``, in which axis ``rows`` counts the examples."""
        return self._spread(torch.rand, shape, rows)

    def _spread(self, draw: Callable[..., Tensor], shape: Sequence[int], rows: int) -> Tensor:
        if not self.shared:
            return draw(shape, generator=self.generator, device=self.generator.device)
        drawn = [1 if axis == rows else length for axis, length in enumerate(shape)]
        return draw(drawn, generator=self.generator, device=self.generator.device).expand(tuple(shape))

    def state(self) -> Tensor:
        """The position in the stream, as bytes."""
        return self.generator.get_state()

    def restore(self, state: Tensor) -> None:
        """Go back to a position that `state` gave."""
        self.generator.set_state(state)
