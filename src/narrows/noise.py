"""Randomness as an argument: a seeded source that every draw in the project takes from."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np
import torch
from torch import Tensor

from narrows.workers import share, whole


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

    @property
    def generators(self) -> Sequence[torch.Generator]:
        """What the draws come from."""
        return [self.generator]

    def normal(self, shape: Sequence[int], *, rows: int) -> Tensor:
        """Standard normal draws of ``shape``, in which axis ``rows`` counts the examples."""
        return self._spread(torch.randn, shape, rows)

    def uniform(self, shape: Sequence[int], *, rows: int) -> Tensor:
        """Uniform draws on [0, 1) of ``shape``, in which axis ``rows`` counts the examples."""
        return self._spread(torch.rand, shape, rows)

    def poisson(self, mean: Tensor) -> Tensor:
        """Counts of these means; each is a draw of its own, also where others are shared."""
        return torch.poisson(mean, generator=self.generator)

    def _spread(self, draw: Callable[..., Tensor], shape: Sequence[int], rows: int) -> Tensor:
        if not self.shared:
            return draw(shape, generator=self.generator, device=self.generator.device)
        drawn = [1 if axis == rows else length for axis, length in enumerate(shape)]
        return draw(drawn, generator=self.generator, device=self.generator.device).expand(tuple(shape))

    def state(self) -> Tensor:
        """The position in the stream, as bytes; that in each one side by side."""
        return torch.cat([generator.get_state() for generator in self.generators])

    def restore(self, state: Tensor) -> None:
        """Go back to a position that `state` gave."""
        for generator, one in zip(self.generators, state.chunk(len(self.generators)), strict=True):
            generator.set_state(one.clone())  # torch reads it from the start of its storage


class Tempered(Noise):
    """The stream of another source, its normal draws ``temperature`` times as wide.

    Codes are placed by normal draws, so that this is N(0, T^2 I) in the place of N(0, I), parts of a mixture T times as
    wide about their means, the noise T times as wide that a flow bends, and so on level by level.

    Parameters
    ----------
    noise : Noise
        The other source, which moves on with this one.
    temperature : float
        T.
    """

    def __init__(self, noise: Noise, temperature: float) -> None:
        self.generator = noise.generator
        self.shared = noise.shared
        self.temperature = temperature

    def normal(self, shape: Sequence[int], *, rows: int) -> Tensor:
        """Normal draws with deviation T; see `Noise.normal`."""
        return self.temperature * super().normal(shape, rows=rows)


class DealtNoise(Noise):
    """A stream for the whole batch, of which a worker takes what is its rows': as one process would draw it.

    Each worker draws for all rows, so that all streams are at one place; outside of a shared step it is `Noise`.
    """

    def poisson(self, mean: Tensor) -> Tensor:
        """Counts of the means of the whole batch: how much of the stream a count takes depends on its mean."""
        dealt = share()
        return super().poisson(mean) if dealt is None else super().poisson(whole(mean))[dealt.part]

    def _spread(self, draw: Callable[..., Tensor], shape: Sequence[int], rows: int) -> Tensor:
        dealt = share()
        if dealt is None:
            return super()._spread(draw, shape, rows)
        if shape[rows] != dealt.part.stop - dealt.part.start:
            raise ValueError(f"a draw for {shape[rows]} rows of a worker's {dealt.part} of {dealt.rows}")
        everybody = [dealt.rows if axis == rows else length for axis, length in enumerate(shape)]
        return super()._spread(draw, everybody, rows).narrow(rows, dealt.part.start, shape[rows]).contiguous()


class RowNoise(Noise):
    """A stream of its own for each example, so that what it draws does not depend on who stands beside it.

    Unlike a shared draw, it leaves the errors of different examples independent.

    Parameters
    ----------
    seeds : sequence of tuple of int
        What the stream of each example is seeded with, such as a seed and its number.
    device : torch.device or str
        Where the tensors are made.
    """

    def __init__(self, seeds: Sequence[tuple[int, ...]], device: torch.device | str = "cpu") -> None:
        super().__init__(0, device)
        mixed = [int(np.random.SeedSequence(seed).generate_state(1, np.uint64)[0] >> 1) for seed in seeds]
        self._generators = [torch.Generator(device=device).manual_seed(seed) for seed in mixed]

    @property
    def generators(self) -> Sequence[torch.Generator]:
        """One for each example."""
        return self._generators

    def _spread(self, draw: Callable[..., Tensor], shape: Sequence[int], rows: int) -> Tensor:
        one = [length for axis, length in enumerate(shape) if axis != rows]
        drawn = [draw(one, generator=generator, device=generator.device) for generator in self.generators]
        return torch.stack(drawn, rows)


class StackedNoise(Noise):
    """The streams of several models that are computed as one by `torch.vmap`: each takes its draws from its own.

    Parameters
    ----------
    sources : sequence of Noise
        One for each model.
    member : Tensor, shape ()
        Whose draws they are; inside of `torch.vmap`, over all places of ``sources``.
    """

    def __init__(self, sources: Sequence[Noise], member: Tensor) -> None:
        self.generator = sources[0].generator
        self.shared = False
        self.sources = sources
        self.member = member

    @property
    def generators(self) -> Sequence[torch.Generator]:
        """Those of all sources."""
        return [source.generator for source in self.sources]

    def poisson(self, mean: Tensor) -> Tensor:
        """Refuse counts: how much of a stream each takes depends on its mean."""
        raise TypeError("counts cannot be drawn for several models at once")

    def _spread(self, draw: Callable[..., Tensor], shape: Sequence[int], rows: int) -> Tensor:
        return torch.stack([source._spread(draw, shape, rows) for source in self.sources])[self.member]
