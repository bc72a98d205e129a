"""What a codec file holds: a model in whole numbers alone, which gives the same bytes and pixels on every machine."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, ClassVar, Self

import numpy as np

from narrows.data.schema import Schema
from narrows.errors import InputError
from narrows.model import Model


@dataclass(frozen=True)
class Work:
    """How the work is done; nothing here changes a byte of what is written.

    Parameters
    ----------
    batch : int
        Examples that a network sees at once.
    compiled : bool or None
        Whether numba codes, or NumPy; None takes numba where it is installed.
    device : str
        Where networks run.
    """

    batch: int = 1024
    compiled: bool | None = None
    device: str = "cpu"


@dataclass(frozen=True)
class Coded:
    """Examples, coded.

    Parameters
    ----------
    payload : bytes
        What decodes to them.
    bits : float
        What the model in whole numbers gives them, without the coder's own overhead.
    kept : array, uint8
        What will be decoded: the examples themselves, unless the codec is lossy.
    note : str
        What a person should hear of how they were coded, if anything.
    """

    payload: bytes
    bits: float
    kept: np.ndarray
    note: str = ""


class Compressor(ABC):
    """A codec of examples of one shape.

    Attributes
    ----------
    kind : str
        Its name in codec files.
    schema : Schema
        Of one example, its cells indices on a grid of 2 to 256 levels.
    lossy : bool
        Whether what is decoded may differ from what was encoded.
    """

    kind: ClassVar[str] = ""
    lossy: ClassVar[bool] = False
    schema: Schema

    @classmethod
    @abstractmethod
    def from_model(cls, model: Model) -> Self:
        """Convert a trained model, to the same whole numbers on every machine; `InputError` says why it cannot be."""

    @classmethod
    def serves(cls, model: Model) -> bool:
        """Whether such a model is this codec's to convert, or to refuse."""
        return True

    @abstractmethod
    def coded(self, values: np.ndarray, work: Work) -> Coded:
        """Code examples (n, *schema.shape), uint8 indices on the grid; n may be 0."""

    @abstractmethod
    def decode(self, payload: bytes, n: int, work: Work) -> np.ndarray:
        """Examples (n, *schema.shape), uint8, from the payload that `coded` gave.

        Raises
        ------
        InputError
            If the payload is damaged. No more is allocated than n and the schema call for.
        """

    def encode(self, values: np.ndarray, work: Work) -> bytes:
        """Return the payload alone."""
        return self.coded(values, work).payload

    def bound(self, values: np.ndarray, work: Work) -> float:
        """Return the bits that the model in whole numbers gives the examples alone."""
        return self.coded(values, work).bits

    def at_quality(self, quality: int) -> Self:
        """Return the same codec at a quality from 1 to 100; only lossy ones have several."""
        raise InputError(f"a codec {self.kind} has one quality, which loses nothing")

    def at_bits(self, bits: float, values: np.ndarray, work: Work) -> Self:
        """Return the same codec at the best quality at which such examples take at most so many bits a cell."""
        raise InputError(f"a codec {self.kind} has one quality, which loses nothing")

    @abstractmethod
    def arrays(self) -> dict[str, np.ndarray]:
        """Whole numbers that, with `settings`, are all that `from_arrays` needs."""

    @abstractmethod
    def settings(self) -> dict[str, Any]:
        """Plain JSON values."""

    @classmethod
    @abstractmethod
    def from_arrays(cls, schema: Schema, settings: Mapping[str, Any], arrays: Mapping[str, np.ndarray]) -> Self:
        """Make it anew; `InputError` if these are not what `arrays` and `settings` gave."""
