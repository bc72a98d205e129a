"""The examples that the page shows: rows of data with their codes, or draws from the model's own codes."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from narrows.apps.decode import examples_of
from narrows.data.dataset import Dataset
from narrows.data.writers import in_stored_type
from narrows.errors import InputError
from narrows.inference import check_code, codes
from narrows.model import Model
from narrows.noise import Noise
from narrows.report.cells import words_of
from narrows.report.images import png, sheet
from narrows.sampling import sample
from narrows.serve.verbs import Loaded
from narrows.tensors import tensor_of

MOST_DRAWN = 1000
DRAWN = "draws from the model's prior"


@dataclass(frozen=True)
class Shown:
    """Examples that stand on the page.

    Parameters
    ----------
    loaded : Loaded
        The model or detector.
    what : str
        What they are, for a person.
    numbers : array, shape (m,)
        Number of each in the data, or of each draw.
    values : array, shape (m, x)
        Raw, in their stored type.
    codes : Tensor, shape (m, d), or None
        Where there are any.
    name : str
        Of the values by which they are coloured.
    colours : array, shape (m,), or None
        These values.
    """

    loaded: Loaded
    what: str
    numbers: np.ndarray
    values: np.ndarray
    codes: Tensor | None
    name: str = ""
    colours: np.ndarray | None = None

    def __len__(self) -> int:
        """How many there are."""
        return len(self.values)

    @cached_property
    def words(self) -> list[str]:
        """What each is."""
        said = words_of(self.values, self.loaded.schema, self.numbers, self.name, self.colours)
        return [word.replace("row", "draw", 1) for word in said] if self.what == DRAWN else said

    @cached_property
    def small(self) -> tuple[bytes, tuple[int, int]] | None:
        """A sheet of small images as PNG, and width and height of each in it; None for rows of a table."""
        if not self.loaded.schema.is_image:
            return None
        pixels, size = sheet(self.values, self.loaded.schema)
        return png(pixels, optimize=False), size

    def nearest(self, code: np.ndarray, n: int) -> list[dict[str, Any]]:
        """The n rows whose codes are nearest to a code (d,), with their distances."""
        assert self.codes is not None
        distances = torch.linalg.vector_norm(self.codes.double() - torch.from_numpy(code).double(), dim=1)
        found = distances.topk(min(n, len(self)), largest=False)
        pairs = zip(found.indices.tolist(), found.values.tolist(), strict=True)
        return [{"place": place, "words": self.words[place], "distance": distance} for place, distance in pairs]


def rows_shown(loaded: Loaded, data: str, dataset: Dataset, name: str, colours: np.ndarray | None, most: int) -> Shown:
    """At most so many rows of the data, evenly spread, with their codes where the model has any."""
    places = np.linspace(0, len(dataset) - 1, min(len(dataset), most)).round().astype(int)
    values = dataset.values[places]
    coded = loaded.what == "model" and _has_codes(loaded.fitted.model)
    z = codes(loaded.fitted.model, tensor_of(values)) if coded else None
    all_rows = f"{len(dataset):,} rows of {Path(data).name}"  # without the folder, which clients need not know
    what = all_rows if len(places) == len(dataset) else f"{len(places):,} of {all_rows}"
    return Shown(loaded, what, places, values, z, name, None if colours is None else colours[places])


def draws_shown(loaded: Loaded, most: int) -> Shown:
    """Codes drawn from the model's prior, with what they decode to.

    Raises
    ------
    InputError
        If it has none.
    """
    if loaded.what != "model":
        raise InputError("a detector has no codes, and no map of them; give --data for rows to begin with")
    model: Model = loaded.fitted.model
    check_code(model, "decode")
    n = min(most, MOST_DRAWN)
    model.eval()
    with torch.inference_mode():
        z = sample(model.source(n), 1, Noise(0, model.device))[0].flatten(1).cpu()
    values = in_stored_type(examples_of(model, z.numpy()), loaded.schema)
    return Shown(loaded, DRAWN, np.arange(n), values, z.clone())


def _has_codes(model: Model) -> bool:
    try:
        check_code(model, "decode")
    except InputError:
        return False
    return True
