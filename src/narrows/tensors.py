"""Arrays as tensors, and tensors by name."""

from __future__ import annotations

import hashlib
import math
from collections.abc import Iterable, Mapping, Sequence
from typing import Protocol

import numpy as np
import torch
from torch import Tensor

CELLS_AT_ONCE = 4_000_000


def tensor_of(values: np.ndarray) -> Tensor:
    """Return a tensor of an array in its own type, without a copy where the memory order allows."""
    array = np.ascontiguousarray(values)
    return torch.from_numpy(array if array.flags.writeable else array.copy())


def under(prefix: str, tensors: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Tensors whose names begin with ``prefix``, by the rest of their names."""
    return {name.removeprefix(prefix): tensor for name, tensor in tensors.items() if name.startswith(prefix)}


def copied(tensors: Mapping[str, Tensor], over: Mapping[str, Tensor] | None = None) -> dict[str, Tensor]:
    """Copies of tensors by name, in the memory of ``over``, of equal shapes, so that no two copies are ever held."""
    over = over or {}
    return {
        name: over[name].copy_(tensor.detach()) if name in over else tensor.detach().clone()
        for name, tensor in tensors.items()
    }


def pieces(rows: Tensor, size: int) -> Sequence[Tensor]:
    """Rows (n, ...) in order, so many at once; all of them while a graph is traced, which is one for any number."""
    return (rows,) if torch.compiler.is_exporting() else rows.split(size)


class Rows(Protocol):
    """What a fingerprint asks of rows: a tensor, or rows in a file."""

    @property
    def dtype(self) -> torch.dtype:
        """Type of the cells."""

    @property
    def shape(self) -> Sequence[int]:
        """Rows first."""

    def split(self, size: int, /) -> Iterable[Tensor]:
        """All rows in order, so many at once."""


def data_fingerprint(values: Rows) -> str:
    """SHA-256 of the rows, their type and their shape."""
    digest = hashlib.sha256(f"{values.dtype} {tuple(values.shape)}".encode())
    for rows in values.split(max(1, CELLS_AT_ONCE // math.prod(values.shape[1:]))):
        digest.update(rows.contiguous().view(-1).view(torch.uint8).cpu().numpy().data)
    return digest.hexdigest()
