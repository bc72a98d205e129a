"""Products with matrices of which few numbers are not zero, in the time of those numbers."""

from __future__ import annotations

from typing import Any, Self

import numpy as np
import torch
from torch import Tensor, nn
from torch.autograd.function import once_differentiable
from torch.nn.functional import embedding_bag

from narrows.noting import asked

MOST = 1 / 8  # share of numbers that are not zero, above which a whole product is as fast
LEAST_PRODUCTS = 2**26  # of a whole product, below which it takes less time than finding the numbers
INTEGERS = {2: torch.int16, 4: torch.int32, 8: torch.int64}  # by the bytes of a number; they compare fastest


def linear(x: Tensor, weight: Tensor, bias: Tensor) -> Tensor:
    """X W^T + b; where few numbers of its gradient are not zero, W's and b's come from those alone.

    Parameters
    ----------
    x, weight, bias : Tensor, shapes (n, d), (m, d) and (m,)
        As of `torch.nn.functional.linear`; where x learns as well, its gradient takes whole products.
    """
    out: Tensor = _Linear.apply(x, weight, bias) if _long(x, weight) else nn.functional.linear(x, weight, bias)
    return out


def weighted_sums(z: Tensor, atoms: Tensor, bias: Tensor) -> Tensor:
    """Z A + b, forward and backward from those numbers of z alone that are not zero, where they are few.

    The gradient of z is that of these numbers, and 0 elsewhere: it is for codes whose zeros do not learn (Gao et al.
    2024, appendix D, have the same products on an accelerator).

    Parameters
    ----------
    z, atoms, bias : Tensor, shapes (n, m), (m, d) and (d,)
    """
    few = Few.of(z) if _long(atoms, z) else None
    if few is None:
        return nn.functional.linear(z, atoms.T, bias)
    sums: Tensor = _WeightedSums.apply(z, atoms, few)
    return sums + bias


def _long(a: Tensor, b: Tensor) -> bool:
    """Whether a training on a processor meets here a product long enough to look for few numbers in it."""
    products = a.numel() * (b.numel() // max(1, b.shape[1]))
    trained = a.requires_grad or b.requires_grad
    return torch.is_grad_enabled() and trained and a.device.type == "cpu" and products >= LEAST_PRODUCTS


class Few:
    """The numbers of a matrix (n, m) that are not zero.

    Parameters
    ----------
    places : Tensor of int64, shape (k,)
        Where they are in the matrix laid out row by row, rising.
    shape : tuple of int
        (n, m).
    """

    def __init__(self, places: Tensor, shape: tuple[int, int]) -> None:
        self.places = places
        self.shape = shape
        rows = places // shape[1]
        self.rows, self.columns = rows.int(), (places - rows * shape[1]).int()
        self.starts = torch.searchsorted(places, torch.arange(shape[0]) * shape[1]).int()

    @classmethod
    def of(cls, z: Tensor) -> Self | None:
        """Find them in z (n, m); None where they are many."""
        asked()
        z = z.detach().contiguous()
        # NumPy skips over zeros eight at a time, which torch does not.
        places = np.flatnonzero((z.view(INTEGERS[z.element_size()]) != 0).numpy())
        return None if len(places) > MOST * z.numel() else cls(torch.from_numpy(places), (z.shape[0], z.shape[1]))

    def numbers(self, z: Tensor, dtype: torch.dtype) -> Tensor:
        """Those of z (n, m), (k,)."""
        return z.reshape(-1).index_select(0, self.places).to(dtype)

    def spread(self, numbers: Tensor) -> Tensor:
        """A matrix (n, m) with these numbers, and 0 elsewhere."""
        return numbers.new_zeros(self.shape[0] * self.shape[1]).scatter_(0, self.places, numbers).view(self.shape)

    def sums(self, numbers: Tensor, atoms: Tensor) -> Tensor:
        """Z A, (n, d)."""
        return embedding_bag(self.columns, atoms, self.starts, mode="sum", per_sample_weights=numbers)

    def sums_by_column(self, numbers: Tensor, x: Tensor) -> Tensor:
        """Z^T X, (m, d)."""
        order = torch.argsort(self.columns, stable=True)
        counts = torch.bincount(self.columns, minlength=self.shape[1])
        starts = (counts.cumsum(0) - counts).int()
        rows, numbers = self.rows.index_select(0, order), numbers.index_select(0, order)
        return embedding_bag(rows, x, starts, mode="sum", per_sample_weights=numbers)

    def products(self, x: Tensor, atoms: Tensor) -> Tensor:
        """X A^T where the numbers are, (k,)."""
        # What torch has for the slope of an embedding's weights: one dot product for each number.
        slope = torch.ops.aten._embedding_bag_per_sample_weights_backward
        products: Tensor = slope(x, atoms, self.columns, self.starts, self.rows, 0)
        return products


class _Linear(torch.autograd.Function):
    """See `linear`."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, weight: Tensor, bias: Tensor) -> Tensor:
        """(n, d), (m, d), (m,) -> (n, m)."""
        ctx.save_for_backward(x, weight)
        return nn.functional.linear(x, weight, bias)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor | None, Tensor, Tensor]:
        """Of all three."""
        x, weight = ctx.saved_tensors
        few = None if ctx.needs_input_grad[0] else Few.of(gradient)
        if few is None:  # in the type that the products forward were in
            by_x = (gradient @ weight.to(gradient.dtype)).to(x.dtype) if ctx.needs_input_grad[0] else None
            by_weight = gradient.T @ x.to(gradient.dtype)
            return by_x, by_weight.to(weight.dtype), gradient.sum(0, dtype=weight.dtype)
        numbers = few.numbers(gradient, weight.dtype)
        return None, few.sums_by_column(numbers, x), weight.new_zeros(len(weight)).index_add_(0, few.columns, numbers)


class _WeightedSums(torch.autograd.Function):
    """See `weighted_sums`."""

    @staticmethod
    def forward(ctx: Any, z: Tensor, atoms: Tensor, few: Few) -> Tensor:
        """(n, m), (m, d) -> (n, d)."""
        numbers = few.numbers(z, atoms.dtype)
        ctx.save_for_backward(numbers, atoms)
        ctx.few, ctx.dtype = few, z.dtype
        return few.sums(numbers, atoms)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor | None, Tensor, None]:
        """Of z and the atoms."""
        (numbers, atoms), few = ctx.saved_tensors, ctx.few
        gradient = gradient.contiguous()
        by_z = few.spread(few.products(gradient, atoms).to(ctx.dtype)) if ctx.needs_input_grad[0] else None
        return by_z, few.sums_by_column(numbers, gradient), None
