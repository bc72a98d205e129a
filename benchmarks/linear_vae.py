"""The linear variational autoencoder, of which everything is known: trained, and compared with probabilistic PCA.

With a linear encoder and decoder, gaussian codes and one learned sigma, the evidence lower bound has no other maxima
than that of probabilistic PCA (Lucas et al. 2019): the bound is then the log likelihood itself, the decoder's columns
span the principal subspace, sigma^2 is the mean of the eigenvalues left out (Tipping and Bishop 1999, eq. 8), and where
sigma is held fixed, the codes of all eigenvalues below sigma^2 collapse. All rows are one batch, in float64. The mean
over draws of a code is taken over cubature points instead, which is exact as the cost is quadratic in the code.

    python benchmarks/linear_vae.py
"""

from __future__ import annotations

import argparse
import math
import time
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from scipy.linalg import subspace_angles
from scipy.stats import multivariate_normal
from sklearn.decomposition import PCA
from torch import Tensor

from narrows.data import infer_schema
from narrows.distributions import SHIFT
from narrows.evaluate import Weighed, annealed, bidirectional, log_likelihood
from narrows.inference import codes
from narrows.model import Model
from narrows.noise import Noise
from narrows.presets import choose
from narrows.values import Clock
from record import record

END = Clock.at_end()


class Cubature(Noise):
    """2d points sqrt(d) (+-e_j) for the normal draws of d numbers: their mean and covariance are exact.

    So is the mean of any polynomial up to the third degree (Arasaratnam and Haykin 2009).
    """

    def __init__(self) -> None:
        super().__init__(0)

    def normal(self, shape: Sequence[int], *, rows: int) -> Tensor:
        k, n, d = shape
        if k != 2 * d:
            raise ValueError(f"{d} numbers have {2 * d} cubature points, and {k} were asked for")
        points = math.sqrt(d) * torch.eye(d, dtype=torch.float64)
        return torch.cat([points, -points])[:, None].expand(k, n, d)


@dataclass(frozen=True)
class Principal:
    """Probabilistic PCA in closed form, with a sigma of its own or a given one.

    Parameters
    ----------
    directions : array, shape (x, codes)
        The principal ones.
    eigenvalues : array, shape (x,)
        Of the covariance, falling.
    variance : float
        sigma^2.
    log_px : array, shape (n,)
        log p(x) of the rows it was fitted to.
    """

    directions: np.ndarray
    eigenvalues: np.ndarray
    variance: float
    log_px: np.ndarray


def principal(x: np.ndarray, n_codes: int, sigma: float | None) -> Principal:
    """Fit it to rows (n, x): W = U (L - sigma^2 I)^(1/2), over the eigenvalues above sigma^2."""
    mean, covariance = x.mean(0), np.cov(x.T, bias=True)
    eigenvalues, directions = (part[..., ::-1] for part in np.linalg.eigh(covariance))
    variance = float(eigenvalues[n_codes:].mean()) if sigma is None else sigma**2
    U = directions[:, :n_codes]
    strength = (eigenvalues[:n_codes] - variance).clip(0)
    law = multivariate_normal(mean, (U * strength) @ U.T + variance * np.eye(len(mean)))
    return Principal(U, eigenvalues, variance, law.logpdf(x))


def trained(rows: np.ndarray, n_codes: int, sigma: float | None = None, seed: int = 0) -> Model:
    """Maximise the exact bound over all rows at once, from weights of chance."""
    schema = infer_schema(rows)
    settings = ["network=mlp", "network.depth=0", f"latent.size={n_codes}", "likelihood=gaussian"]
    settings += [f"objective.samples={2 * n_codes}", f"likelihood.sigma={'none' if sigma is None else sigma}"]
    model = Model(choose("variational", schema, settings), schema, seed=seed).double()
    values = torch.from_numpy(rows)
    model.adapt(values)
    optimizer = torch.optim.LBFGS(
        model.parameters(),
        max_iter=2000,
        history_size=50,
        tolerance_grad=1e-7,
        tolerance_change=1e-13,
        line_search_fn="strong_wolfe",
    )

    def closure() -> Tensor:
        optimizer.zero_grad()
        loss, _ = model.loss(values, Cubature(), END)
        loss.backward()
        return loss

    optimizer.step(closure)
    return model.eval()


def bound(model: Model, values: Tensor) -> float:
    """Mean evidence lower bound of the rows, without noise, in nats of standardised data."""
    with torch.no_grad():
        terms = model.terms(model.batch(values, Noise(0)), 2 * model.latent.size, Cubature())
        return float((terms.log_px.mean(0) - terms.kl[0]).mean())


def optimum(rows: np.ndarray, n_codes: int, sigma: float | None = None, seed: int = 0) -> dict[str, float]:
    """Train, and compare with the closed form."""
    model, values = trained(rows, n_codes, sigma, seed), torch.from_numpy(rows)
    x = model.transform(values).x.numpy()
    exact = principal(x, n_codes, sigma)
    decoder = model.network.decoder[0].weight.detach().numpy()
    variance = float(model.likelihood.scale.detach()) ** 2
    kept = int((exact.eigenvalues[:n_codes] > exact.variance).sum())
    columns = np.linalg.svd(decoder, full_matrices=False)[0][:, :kept]
    return {
        "log_likelihood_nats": float(exact.log_px.mean()),
        "bound_less_log_likelihood_nats": bound(model, values) - float(exact.log_px.mean()),
        "largest_angle_radians": float(subspace_angles(columns, exact.directions[:, :kept]).max()) if kept else 0.0,
        "sigma_squared": variance,
        "sigma_squared_less_mean_of_discarded": variance - exact.variance,
        "units": n_codes,
        "collapsed_units": n_codes - int(model.latent.used(codes(model, values)).sum()),
        "collapsed_units_predicted": n_codes - kept,
    }


def scikit_learn_apart(rows: np.ndarray, n_codes: int) -> float:
    """Mean of its PCA.score_samples less that of the closed form: its covariance divides by n - 1, not by n."""
    x = (rows - rows.mean(0)) / rows.std(0)
    return float((PCA(n_codes).fit(x).score_samples(x) - principal(x, n_codes, None).log_px).mean())


def estimates(rows: np.ndarray, n_codes: int, draws: int, steps: int, chains: int) -> dict[str, Any]:
    """log p(x) of each row by IWAE-k and by annealing, and how many of their standard errors they are off.

    At the optimum q is the posterior and each draw is exact, so q is made half as wide again.
    """
    model, values = trained(rows, n_codes), torch.from_numpy(rows)
    with torch.no_grad():
        bias = model.network.encoder[0].bias[n_codes:]
        scale = torch.nn.functional.softplus(bias + SHIFT)
        bias.copy_(torch.expm1(1.5 * scale).log() - SHIFT)
    exact = principal(model.transform(values).x.numpy(), n_codes, None).log_px + model.transform.log_det
    sandwich = bidirectional(model, len(rows), steps, chains)
    return {
        "exact_nats": float(exact.mean()),
        f"iwae_{draws}": _compared(log_likelihood(model, values, draws, 0), exact),
        "ais": _compared(annealed(model, values, steps, chains), exact) | {"steps": steps, "chains": chains},
        "ais_from_posterior": _compared(annealed(model, values, steps, chains, start="posterior"), exact),
        "ais_gap_nats": sandwich.gap,
    }


def _compared(found: Weighed, exact: np.ndarray) -> dict[str, float]:
    return {
        "nats": found.mean,
        "draws_error_nats": found.draws_error,
        "bias_nats": found.bias,
        "off_in_standard_errors": (found.mean - found.bias - float(exact.mean())) / found.draws_error,
        "effective_draws": float(found.effective.mean()),
    }


def problem(n: int, columns: int, seed: int = 0) -> np.ndarray:
    """Rows whose covariance has well separated eigenvalues, in float64."""
    random = np.random.default_rng(seed)
    directions = np.linalg.qr(random.normal(size=(columns, columns)))[0]
    return random.normal(size=(n, columns)) * np.geomspace(3, 0.3, columns) @ directions + random.normal(size=columns)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rows", type=int, default=1000)
    parser.add_argument("--columns", type=int, default=12)
    parser.add_argument("--codes", type=int, default=5)
    parser.add_argument("--steps", type=int, default=200)
    options = parser.parse_args()
    began = time.perf_counter()
    rows = problem(options.rows, options.columns)
    figures: dict[str, Any] = {"learned_sigma": [optimum(rows, options.codes, seed=seed) for seed in range(3)]}
    figures["scikit_learn_less_log_likelihood_nats"] = scikit_learn_apart(rows, options.codes)
    eigenvalues = principal(rows / rows.std(0), options.codes, None).eigenvalues
    # Between neighbouring eigenvalues, so that 0, 1, 2, ... units collapse.
    between = np.sqrt((eigenvalues[: options.codes - 1] + eigenvalues[1 : options.codes]) / 2)
    figures["fixed_sigma"] = {
        f"{sigma:.3f}": optimum(rows, options.codes, round(float(sigma), 3)) for sigma in [0.3, *between[::-1]]
    }
    figures["estimates"] = estimates(rows[:200], options.codes, 5000, options.steps, 16)
    protocol = (
        f"{options.rows} rows of {options.columns} numbers, {options.codes} codes, full batch, float64, L-BFGS on the "
        f"exact bound, three seeds; nats an example of standardised data, for estimates of 200 raw rows; errors are "
        f"those of the draws"
    )
    print(record("linear_vae", figures, seconds=time.perf_counter() - began, protocol=protocol).read_text())


if __name__ == "__main__":
    main()
