"""The closed forms as figures: how far the parts are from what mathematics says, and from their own in another unit.

Linear autoencoder against principal components, gaussian KL against quadrature and Monte Carlo, likelihoods summed over
their support, and a variational autoencoder on the same images in two units.

    python benchmarks/theory.py
"""

from __future__ import annotations

import math
import time

import numpy as np
import torch
from scipy.integrate import quad
from scipy.linalg import subspace_angles
from scipy.stats import norm
from sklearn.decomposition import PCA
from torch.distributions import Independent, Normal

from narrows.data import Schema, infer_schema, read
from narrows.distributions import divergence
from narrows.evaluate import evaluate
from narrows.fit import fit
from narrows.likelihoods import Bernoulli, Logistic
from narrows.model import Model
from narrows.noise import Noise
from narrows.plan import Plan
from narrows.presets import choose
from narrows.sampling import sample
from narrows.tensors import tensor_of
from narrows.values import Clock
from record import record

PAIRS = 200
DRAWS = 100_000
UNITS = 16.0


def linear_autoencoder() -> dict[str, float]:
    """Largest angle between the decoder's columns and the principal subspace, after full-batch training in float64."""
    rng = np.random.default_rng(0)
    mixing = rng.normal(size=(8, 8)) * np.array([3, 2.5, 2, 0.6, 0.5, 0.4, 0.3, 0.2])[:, None]
    rows = (rng.normal(size=(400, 8)) @ mixing).astype(np.float32)
    schema = infer_schema(rows)
    settings = ["network=mlp", "network.depth=0", "latent.size=3", "likelihood=gaussian", "likelihood.sigma=1"]
    model = Model(choose("autoencoder", schema, settings), schema).double()
    values = tensor_of(rows.astype(np.float64))
    model.adapt(values)
    optimizer = torch.optim.LBFGS(
        model.parameters(), max_iter=2000, line_search_fn="strong_wolfe", tolerance_grad=1e-12
    )

    def closure() -> torch.Tensor:
        optimizer.zero_grad()
        loss, _ = model.loss(values, Noise(0), Clock())
        loss.backward()
        return loss

    optimizer.step(closure)
    decoder = model.network.decoder[0].weight.detach().numpy()
    principal = PCA(3).fit(model.transform(values).x.numpy()).components_.T
    return {"largest_principal_angle_to_pca": float(subspace_angles(decoder, principal).max())}


def gaussian_kl() -> dict[str, float]:
    """KL of random pairs of gaussians against quadrature and against draws."""
    rng = np.random.default_rng(1)
    error, lowest, asymmetry = 0.0, math.inf, math.inf
    for _ in range(PAIRS):
        (m, n), (s, t) = rng.normal(size=2), np.exp(0.5 * rng.normal(size=2))
        own = [float(divergence(_gaussian(*pair[0]), _gaussian(*pair[1]))) for pair in _both((m, s), (n, t))]
        exact = quad(lambda x, m=m, s=s, n=n, t=t: _integrand(x, m, s, n, t), m - 12 * s, m + 12 * s, epsabs=1e-12)[0]
        error, lowest = max(error, abs(own[0] - exact)), min(lowest, *own)
        asymmetry = min(asymmetry, abs(own[0] - own[1]))
    q, p = _gaussian(0.7, 0.4), _gaussian(0.0, 1.0)
    z = sample(q, DRAWS, Noise(0))
    ratios = q.log_prob(z) - p.log_prob(z)
    gap = float(ratios.mean() - divergence(q, p))
    return {
        "kl_largest_gap_to_quadrature": error,
        "kl_lowest": lowest,
        "kl_at_equality": float(divergence(q, q)),
        "kl_smallest_asymmetry": asymmetry,
        "kl_monte_carlo_gap_in_standard_errors": gap / float(ratios.std() / math.sqrt(DRAWS)),
    }


def _gaussian(mean: float, scale: float) -> Independent:
    as_row = [torch.tensor([[value]], dtype=torch.float64) for value in (mean, scale)]
    return Independent(Normal(*as_row), 1)


def _both(q: tuple[float, float], p: tuple[float, float]) -> tuple:
    return (q, p), (p, q)


def _integrand(x: float, m: float, s: float, n: float, t: float) -> float:
    return norm.pdf(x, m, s) * (norm.logpdf(x, m, s) - norm.logpdf(x, n, t))


def likelihood_sums() -> dict[str, float]:
    """Largest gap to 1 of the masses of all levels, over random and extreme parameters."""
    gaps = {}
    for name, part, levels in (
        ("bernoulli", Bernoulli(), 2),
        ("logistic", Logistic(), 256),
        ("logistic_mixture", Logistic(components=5), 256),
    ):
        part.build(Schema((1,), 0.0, levels - 1.0, 1.0))
        params = 4 * torch.randn(1, 1000, part.n_params, 1, generator=torch.Generator().manual_seed(0)).double()
        p = part(params)
        mass = torch.stack([p.log_prob(torch.full((1000, 1), float(v))) for v in range(levels)]).exp().sum(0)
        gaps[f"{name}_largest_gap_to_1"] = float((mass - 1).abs().max())
    return gaps


def two_units() -> dict[str, float]:
    """The same images as real numbers, and times 16: active units, and bits a pixel after the change of variables."""
    images = read("fashion-sample").values[:2000, 0].astype(np.float32) / 255
    figures = {}
    for name, factor in (("1", 1.0), ("16", UNITS)):
        rows = images * factor
        schema = infer_schema(rows)
        plan = Plan(epochs=30, seed=0)
        fitted = fit(schema.from_user(rows), schema, "variational", ["network=mlp", "latent.size=8"], plan)
        measured = evaluate(fitted, tensor_of(schema.from_user(rows[:500])))
        figures[f"active_units_times_{name}"] = measured.active_units
        figures[f"bits_per_dim_times_{name}"] = measured.bits_per_dim
    gap = figures["bits_per_dim_times_16"] - math.log2(UNITS) - figures["bits_per_dim_times_1"]
    return {**figures, "bits_per_dim_gap_after_change_of_variables": gap}


def main() -> None:
    began = time.perf_counter()
    figures = {**linear_autoencoder(), **gaussian_kl(), **likelihood_sums(), **two_units()}
    protocol = (
        f"angles in radians, KL in nats over {PAIRS} pairs, {DRAWS} draws; units: 2000 images, 8 codes, 30 epochs"
    )
    print(record("theory", figures, seconds=time.perf_counter() - began, protocol=protocol).read_text())


if __name__ == "__main__":
    main()
