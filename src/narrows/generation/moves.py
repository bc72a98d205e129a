"""Moves among codes: on the way from one to another, around one, and sums of several."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping

import torch
from torch import Tensor

from narrows.errors import InputError, at_least, unknown
from narrows.inference import check_code, clean_input, codes, decoded
from narrows.model import Model
from narrows.noise import Noise
from narrows.sampling import sample

PARALLEL = 1e-6  # radians from a straight line, on which there is no arc


def linear(first: Tensor, last: Tensor, shares: Tensor) -> Tensor:
    """(1 - t) a + t b: codes (d,) and (d,), and shares t (m, 1) of the way, -> codes (m, d)."""
    return (1 - shares) * first + shares * last


def spherical(first: Tensor, last: Tensor, shares: Tensor) -> Tensor:
    """[sin((1 - t) w) a + sin(t w) b] / sin w, w the angle between a and b (Shoemake 1985; White 2016).

    Draws of N(0, I) in many dimensions all lie near a sphere about 0; a straight line between two passes far inside of
    it, where no codes are, and an arc does not.
    """
    cosine = torch.nn.functional.cosine_similarity(first, last, dim=0).clamp(-1, 1)
    angle = torch.arccos(cosine)
    if min(angle, torch.pi - angle) < PARALLEL:
        return linear(first, last, shares)
    return (torch.sin((1 - shares) * angle) * first + torch.sin(shares * angle) * last) / torch.sin(angle)


PATHS: Mapping[str, Callable[[Tensor, Tensor, Tensor], Tensor]] = {"spherical": spherical, "linear": linear}


def between(model: Model, ends: Tensor, frames: int, path: str) -> Tensor:
    """Decode codes on the way from one row to another, shape (frames, x), both ends among them.

    Parameters
    ----------
    model : Model
        With codes that are numbers.
    ends : Tensor, shape (2, x)
        Raw rows.
    frames : int
        How many, at even distances of the share of the way.
    path : {"spherical", "linear"}
        See `spherical`.

    Raises
    ------
    InputError
        If codes have nothing between them, or no origin that a sphere could be about.
    """
    check_moves(model)
    at_least("frames", frames, 2)
    if path not in PATHS:
        raise unknown("path", path, PATHS)
    if path == "spherical" and not model.latent.random:
        raise InputError(
            f"path was given as spherical, and {model.latent.kind} codes lie about no origin; take path linear"
        )
    first, last = codes(model, ends)
    shares = torch.linspace(0, 1, frames, dtype=first.dtype)[:, None]
    return decoded(model, PATHS[path](first, last, shares))


def varied(model: Model, row: Tensor, n: int, seed: int, spread: Tensor | None = None) -> Tensor:
    """Decode codes near that of a row, shape (n, x).

    Parameters
    ----------
    model : Model
        With codes that are numbers.
    row : Tensor, shape (1, x)
        Raw.
    n : int
        How many.
    seed : int
        Equal seeds give equal variations.
    spread : Tensor, shape (d,), optional
        Deviation of the normal draws that are added to the code; without it codes are drawn from q(z | x), the model's
        own doubt which code the row has.

    Raises
    ------
    InputError
        If codes are not numbers, or not random and no spread was given.
    """
    check_moves(model)
    at_least("n", n, 1)
    noise = Noise(seed, model.device)
    if spread is not None:
        code = codes(model, row)
        return decoded(model, code + spread * noise.normal((n, code.shape[1]), rows=0).to(code))
    if not model.latent.random:
        raise InputError(
            f"variations are draws of q(z | x), and {model.latent.kind} codes are not drawn; say how far to go from "
            f"the code, such as --strength 0.3"
        )
    with torch.inference_mode():
        drawn = sample(model.eval().posterior(clean_input(model, row.to(model.device))), n, noise)
    return decoded(model, drawn[:, 0].cpu())


def combined(model: Model, values: Tensor, expression: str) -> Tensor:
    """Decode a sum of codes, shape (1, x).

    Parameters
    ----------
    model : Model
        With codes that are numbers.
    values : Tensor, shape (n, x)
        Raw rows.
    expression : str
        Numbers of rows, from 0, with signs between them, such as ``"3 - 5 + 17"``; the mean of several rows stands for
        a row, as in ``"0,1,2 - 3,4,5 + 17"`` (Radford et al. 2016, section 6.3.2).

    Raises
    ------
    InputError
        If the expression is none, or names a row that there is not.
    """
    check_moves(model)
    total: Tensor | float = 0.0
    for sign, rows in terms_of(expression, len(values)):
        total = total + sign * codes(model, values[rows]).mean(0, keepdim=True)
    assert isinstance(total, Tensor)
    return decoded(model, total)


TERM = r"\d+(?:,\d+)*"


def terms_of(expression: str, rows: int) -> list[tuple[int, list[int]]]:
    """Signs and numbers of rows in an expression; see `combined`."""
    squeezed = re.sub(r"\s", "", expression)
    if not re.fullmatch(rf"[+-]?{TERM}(?:[+-]{TERM})*", squeezed, re.ASCII):
        raise InputError(
            f"the sum was given as {expression!r}; give numbers of rows with signs between them, such as '3 - 5 + 17', "
            f"or '0,1,2 - 3 + 17' for the mean of three"
        )
    terms = re.findall(rf"([+-]?)({TERM})", squeezed, re.ASCII)
    found = [(-1 if sign == "-" else 1, [int(row) for row in numbers.split(",")]) for sign, numbers in terms]
    for row in (row for _, numbers in found for row in numbers):
        check_row(row, rows)
    return found


def check_row(row: int, rows: int) -> None:
    """Raise `InputError` unless there is such a row."""
    if not 0 <= row < rows:
        raise InputError(f"row {row} was asked for, and the data have rows 0 to {rows - 1}; give one of these")


def check_moves(model: Model) -> None:
    """Raise `InputError` where there is nothing between two codes, or no code."""
    check_code(model, "move")
    latent = model.latent
    if latent.discrete:
        raise InputError(
            f"{latent.kind} codes are of a discrete set, with nothing between two of them; train preset variational"
        )
