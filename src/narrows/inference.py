"""A trained model put to use: codes, reconstructions, scores and samples of raw rows, in even chunks.

Everything here is deterministic. Where a figure needs random draws they are seeded and, for the figure of a row, the
same for every row, so that a row's figure does not depend on the batch it comes in.
"""

from __future__ import annotations

import copy
from collections.abc import Callable, Iterator

import torch
from torch import Tensor
from torch.distributions import Distribution

from narrows.errors import InputError, at_least
from narrows.model import Model
from narrows.noise import Noise, Tempered
from narrows.sampling import sample

ROWS_AT_ONCE = 500
CELLS_AT_ONCE = 4_000_000  # of large images fewer rows at once, so that memory does not grow with them
SCORE_SEED = 1312
SCORE_SAMPLES = 16
IMPUTE_SAMPLES = 100


def in_float64(model: Model) -> Model:
    """Return a copy that computes in float64, for all functions here but `samples`.

    Sums over a batch then differ from sums over one row by 1e-15, not by 1e-7, at two to three times the cost.
    """
    return copy.deepcopy(model).double()


def in_chunks(model: Model, values: Tensor, function: Callable[[Tensor], Tensor], draws: int = 1) -> Tensor:
    """Apply ``function``, of so many draws a row, to chunks of rows on the model's device; join them on the host."""
    model.eval()
    with torch.inference_mode():
        parts = [function(raw.to(model.device)).cpu() for raw in values.split(_rows_at_once(model, draws))]
    return torch.cat(parts)


def _rows_at_once(model: Model, draws: int = 1) -> int:
    return max(1, min(ROWS_AT_ONCE, CELLS_AT_ONCE // model.schema.size) // draws)


def shared_noise(model: Model) -> Noise:
    """Return the draws that all rows share."""
    return Noise(SCORE_SEED, model.device, shared=True)


def clean_input(model: Model, raw: Tensor) -> Tensor:
    """Standardised input of raw rows; values that are binarised by a draw are drawn from one seed."""
    return model.batch(raw, shared_noise(model)).seen


def code_of(model: Model, raw: Tensor, noise: Noise) -> Tensor:
    """Return the codes (n, d) of as many raw rows as are taken at once; see `codes`."""
    return model.latent.code(model.posterior(model.batch(raw, noise).seen))


def mean_of(model: Model, z: Tensor) -> Tensor:
    """Return the means (n, x) of as many codes (n, d) as are taken at once; see `decoded`."""
    mean: Tensor = model.transform.inverse(model.decode(z[None]).mean[0])
    return mean


def bound_of(model: Model, raw: Tensor, samples: int, noise: Callable[[], Noise]) -> Tensor:
    """Return the bounds (n,) of as many raw rows as are taken at once; see `bounds`.

    What ``noise`` makes is drawn from twice: for values that are binarised by a draw, and for codes.
    """
    batch = model.batch(raw, noise())
    terms = model.terms(batch, samples if model.latent.random else 1, noise())
    return (terms.log_px - terms.kl).mean(0) + model.transform.log_dets(raw)


def codes(model: Model, values: Tensor) -> Tensor:
    """Return the code of each raw row, shape (n, d): the posterior's mean, or its mode if discrete."""

    def encode(raw: Tensor) -> Tensor:
        return code_of(model, raw, shared_noise(model))

    return in_chunks(model, values, encode)


def sparse_codes(model: Model, values: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """Return the numbers of `codes` that are not 0, row by row: their rows, their units and themselves, each (m,).

    Raises
    ------
    InputError
        If the model's codes are dense.
    """
    check_sparse(model)
    rows, units, numbers = [], [], []
    for start in range(0, len(values), ROWS_AT_ONCE):  # dense codes of few rows at a time
        z = codes(model, values[start : start + ROWS_AT_ONCE])
        row, unit = z.nonzero(as_tuple=True)
        rows.append(row + start)
        units.append(unit)
        numbers.append(z[row, unit])
    return torch.cat(rows), torch.cat(units), torch.cat(numbers)


def check_code(model: Model, purpose: str) -> None:
    """Raise `InputError` where a code is nothing, or all that is seen; ``purpose`` is the verb that wants one."""
    latent = model.latent
    if latent.whole or not latent.size:
        raise InputError(
            f"latent {latent.kind} is no code, so there is none to {purpose}; take a model with a bottleneck"
        )


def check_sparse(model: Model) -> None:
    """Raise `InputError` if the model's codes are dense."""
    if not model.latent.sparse:
        raise InputError(
            f"{model.latent.kind} codes are dense: hardly a number of them is 0; leave out sparse, or train preset "
            f"dictionary"
        )


def decoded(model: Model, z: Tensor) -> Tensor:
    """Return the mean of p(x | z) for codes (n, d), in raw units, shape (n, x)."""
    return in_chunks(model, z.to(model.transform.scale.dtype), lambda chunk: mean_of(model, chunk))


def reconstructed(model: Model, values: Tensor) -> Tensor:
    """Return the mean of p(x | code) for each raw row, in raw units, shape (n, x)."""
    return decoded(model, codes(model, values))


def bounds(model: Model, values: Tensor, samples: int = SCORE_SAMPLES) -> Tensor:
    """Lower bound on log p(x) of each raw row, in nats of the raw data, shape (n,).

    The elbo with ``samples`` draws that all rows share; for a deterministic code, log p(x | z) less the code's price,
    which orders rows but is no bound.
    """

    def score(raw: Tensor) -> Tensor:
        return bound_of(model, raw, samples, lambda: shared_noise(model))

    return in_chunks(model, values, score, samples if model.latent.random else 1)


def imputed(model: Model, values: Tensor, draws: int = IMPUTE_SAMPLES) -> tuple[Tensor, Tensor]:
    """Fill the gaps of raw rows of a mixed table (n, c), each from the observed cells of its row.

    A number becomes its mean, a category its most probable value, over draws z of q(z | row) that all rows share. A
    deterministic code is its own only draw. No number is below or above all that training rows have in its column.

    Parameters
    ----------
    model : Model
        Of a mixed table.
    values : Tensor, shape (n, c)
        Raw rows, NaN where a cell is missing.
    draws : int
        Codes drawn for each row.

    Returns
    -------
    filled : Tensor, shape (n, c)
        Raw rows, observed cells as they were.
    spread : Tensor, shape (n, c)
        Standard deviation of the law of each filled number given the observed cells, in raw units; 0 elsewhere. It
        does not know of the range.

    Raises
    ------
    InputError
        If the model is not one of a mixed table.
    """

    def fill(raw: Tensor, p: Distribution) -> Tensor:
        mean, variance = p.averaged()  # type: ignore[attr-defined]
        spread = torch.where(raw.isnan(), variance.sqrt() * model.transform.scale, 0.0)
        return torch.stack([_filled(model, raw, mean), spread.to(raw.dtype)], 1)

    filled, spread = _from_observed(model, values, draws if model.latent.random else 1, fill).unbind(1)
    return filled, spread


def imputations(model: Model, values: Tensor, draws: int = IMPUTE_SAMPLES) -> Tensor:
    """Fill the gaps of raw rows of a mixed table (n, c) many times, by draws from p(gaps | observed cells).

    One code is drawn for all gaps of a row, so that its filled cells go together (multiple imputation, Rubin 1987).
    What is drawn beyond the range that training rows have in a column becomes its end.

    Parameters
    ----------
    model : Model
        Of a mixed table.
    values : Tensor, shape (n, c)
        Raw rows, NaN where a cell is missing.
    draws : int
        How many tables.

    Returns
    -------
    Tensor, shape (n, draws, c)
        Raw rows, observed cells as they were.

    Raises
    ------
    InputError
        If the model is not one of a mixed table.
    """

    def fill(raw: Tensor, p: Distribution) -> Tensor:
        drawn = sample(p, 1, Noise(SCORE_SEED + 1, model.device, shared=True))[0].expand(draws, -1, -1)
        return _filled(model, raw, drawn).transpose(0, 1)

    return _from_observed(model, values, draws, fill)


def check_fills_gaps(model: Model) -> None:
    """Raise `InputError` unless a model is one of a mixed table, whose gaps can be filled."""
    if model.schema.columns is None:
        raise InputError(
            f"only the gaps of tables can be filled, and the model was trained on {model.schema.describe()}, without a "
            f"gap; train it on a table with gaps, or give a column its kind, such as --column age=numeric"
        )


def _from_observed(model: Model, values: Tensor, k: int, fill: Callable[[Tensor, Distribution], Tensor]) -> Tensor:
    """Apply ``fill`` to chunks of raw rows (n, c) and what k draws of the codes of their observed cells decode to."""
    check_fills_gaps(model)
    at_least("draws", k, 1)

    def function(raw: Tensor) -> Tensor:
        z = sample(model.posterior(clean_input(model, raw)), k, shared_noise(model))
        return fill(raw, model.decode(z))

    return in_chunks(model, values, function, k)


def _filled(model: Model, raw: Tensor, x: Tensor) -> Tensor:
    """Raw rows (n, c), their gaps from x (..., n, c) in the target unit, within the range of what was observed."""
    cells: Tensor = model.transform.within(model.transform.inverse(x))  # type: ignore[operator]
    return torch.where(raw.isnan(), cells.to(raw.dtype), raw)


def samples(
    model: Model, n: int, seed: int, *, draw: bool = False, temperature: float = 1.0, label: str | None = None
) -> Tensor:
    """New examples in raw units, shape (n, x): codes from the prior, decoded.

    Parameters
    ----------
    model : Model
        With a random latent, or one whose codes a density was fitted to.
    n : int
        How many.
    seed : int
        Equal seeds give equal examples.
    draw : bool
        Draw each from p(x | z) instead of taking its mean. Without a code each is drawn, as their means are one.
    temperature : float
        How wide the normal draws behind the codes are; see `Tempered`.
    label : str, optional
        Draw codes of this class.

    Raises
    ------
    InputError
        If the model has no prior to draw codes from, or not of such a class, or none that is normal.
    """
    at_least("n", n, 1)
    at_least("temperature", temperature, 0)
    if temperature != 1 and (model.latent.discrete or not model.latent.size):
        raise InputError(
            f"temperature was given as {temperature}, and latent {model.latent.kind} draws nothing from a normal "
            f"distribution; leave it out"
        )
    draw = draw or not model.latent.size
    noise = Noise(seed, model.device)
    wide = Tempered(noise, temperature)

    def chunks() -> Iterator[Tensor]:
        rows = _rows_at_once(model)
        for start in range(0, n, rows):
            count = min(rows, n - start)
            p = model.decode(sample(model.source(count, label), 1, wide))
            yield model.transform.inverse(sample(p, 1, noise)[0, 0] if draw else p.mean[0]).cpu()

    model.eval()
    with torch.inference_mode():
        return torch.cat(list(chunks()))
