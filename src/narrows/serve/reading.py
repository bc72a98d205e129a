"""Bodies of requests -> values of a model's schema."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, NoReturn

import numpy as np

from narrows.data.dataset import from_array
from narrows.data.decoding import decoded_png
from narrows.data.json_rows import errors_of_rows, raw_rows, table_of_json
from narrows.data.schema import Schema
from narrows.data.wording import brief
from narrows.errors import InputError, at_most
from narrows.serve.answers import ARROW, JSON, PNG
from narrows.serve.arrow_in import examples_of, read_stream
from narrows.serve.limits import Limits
from narrows.serve.problems import Refused

WHAT = "the data"


@dataclass(frozen=True)
class Given:
    """What a request brought.

    Parameters
    ----------
    count : int
        Rows or images.
    single : bool
        Whether one was given by itself, and not as a list of one.
    objects : list or None
        Rows of a table as they stand in JSON, which those of several requests are read from at once.
    values : array or None
        Values that are read already.
    """

    count: int
    single: bool
    objects: list[Any] | None = None
    values: np.ndarray | None = None

    def read(self, schema: Schema) -> np.ndarray:
        """Return the values; raises `InputError` if these are none."""
        return values_of_objects(self.objects, schema) if self.objects is not None else np.asarray(self.values)


@dataclass(frozen=True)
class Reader:
    """Reads bodies.

    Parameters
    ----------
    schema : Schema
        Of the model.
    any_size : bool
        Whether images may be of any size, and are not brought into the model's layout.
    limits : Limits
        Of what is taken.
    """

    schema: Schema
    any_size: bool
    limits: Limits

    def __call__(self, media: str, body: bytes) -> Given:
        """Read a body.

        Raises
        ------
        Refused, InputError
            If it is none of the format, too large, or not such examples.
        """
        readers: Mapping[str, Callable[[bytes], Given]] = {
            JSON: lambda body: self.of_json(parsed(body)),
            ARROW: self._of_arrow,
            PNG: self._of_png,
        }
        return readers[media](body)

    def of_json(self, found: Any) -> Given:
        """Take one row, or a list of rows."""
        if self.schema.is_image:
            return self._images(np.asarray(found) if _is_regular(found) else found)
        single = not (isinstance(found, list) and all(isinstance(row, (list, dict)) for row in found))
        objects = [found] if single else found
        at_most("the number of rows", len(objects), self.limits.max_rows)
        return Given(len(objects), single, objects=objects)

    def _of_arrow(self, body: bytes) -> Given:
        table = read_stream(body, self.limits.max_rows)
        if self.schema.is_image:
            return self._images(examples_of(table, self.schema.user_shape))
        return Given(table.num_rows, False, values=_told(lambda: raw_rows(table, self.schema, WHAT)))

    def _of_png(self, body: bytes) -> Given:
        if not self.schema.is_image:
            raise InputError(f"an image was given, and the model was trained on {self.schema.describe()}; send rows")
        return self._images(decoded_png(body, "in the body", self.limits.max_pixels), alone=True)

    def _images(self, images: Any, alone: bool = False) -> Given:
        """One image, or some, as an array."""
        array = np.asarray(images) if not isinstance(images, list) else _ragged()
        axes = self._axes(array, alone)
        single = array.ndim == axes
        stack = array[None] if single else array
        if stack.ndim != axes + 1 or not stack.size:
            raise InputError(
                f"{WHAT} have the shape {array.shape}; give an image, or a list of images, such as the model was "
                f"trained on, of shape {self.schema.user_shape}"
            )
        at_most("the number of rows", len(stack), self.limits.max_rows)
        channels = (self.schema.shape[0] if not self.any_size else stack.shape[-1]) if axes == 3 else 1
        at_most("the number of pixels", stack.size // min(channels, stack.size), self.limits.max_pixels)
        if self.any_size:
            return Given(len(stack), single, values=stack)
        return Given(len(stack), single, values=_told(lambda: from_array(stack, schema=self.schema).values))

    def _axes(self, array: np.ndarray, alone: bool) -> int:
        """How many axes one image has; of any size, three are many grey images where the model's are grey."""
        if not self.any_size:
            return len(self.schema.user_shape)
        if alone:
            return array.ndim
        return 3 if array.ndim == 4 or (array.ndim == 3 and self.schema.layout != "hw") else 2


def parsed(body: bytes) -> Any:
    """Read JSON as the standard has it, without NaN.

    Raises
    ------
    Refused
        If it is none.
    """
    try:
        return _DECODER.decode(body.decode())
    except (ValueError, RecursionError) as error:
        raise Refused(400, f"the body cannot be read as JSON ({brief(error)}); send JSON in UTF-8") from None


def values_of_objects(objects: list[Any], schema: Schema) -> np.ndarray:
    """Read rows of a table that came as JSON; raises `InputError` if one is none."""
    return _told(lambda: raw_rows(table_of_json(objects, schema, "a row"), schema, WHAT))


def _told(read: Callable[[], np.ndarray]) -> np.ndarray:
    """Whatever goes wrong with rows, as one sentence."""
    try:
        return read()
    except InputError:
        raise
    except errors_of_rows() as error:
        raise InputError(f"{WHAT} cannot be read as rows ({brief(error)}); send numbers or text in each cell") from None


def _is_regular(found: Any) -> bool:
    """Whether nested lists make an array."""
    try:
        np.asarray(found)
    except (ValueError, OverflowError, RecursionError):
        return False
    return True


def _ragged() -> NoReturn:
    raise InputError(f"{WHAT} are no regular array of numbers; give rows of equal length")


def _no_constant(constant: str) -> NoReturn:
    raise ValueError(f"{constant} is no JSON value")


_DECODER = json.JSONDecoder(parse_constant=_no_constant)
