"""Codes of a basic autoencoder and of a variational one: which can be drawn, and what the divergence is good for.

The same network on the same embedded images, made binary, once with a plain code and once with a gaussian one; then the
gaussian one on few images, its divergence weighed more and less. The chapter is docs/theory/latents.md.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from narrows.data import read
from narrows.data.dataset import Dataset
from narrows.data.schema import Schema
from narrows.inference import codes, decoded
from narrows.model import Model
from narrows.noise import Noise
from narrows.pictures import as_pixels
from narrows.plan import Plan
from narrows.sampling import sample
from narrows.study.codes import Manifold, Spread, spread_of
from narrows.study.overfitting import Gap, gaps
from narrows.study.tables import Table
from narrows.study.training import DATA, trained
from narrows.tensors import tensor_of

NETWORK = ["network=mlp", "network.width=128", "likelihood=bernoulli"]
KINDS = {"basic": "latent=point", "variational": "latent=gaussian"}
SIZE, PLANE = 16, 2  # numbers in a code
EPOCHS = 10
RATE = 0.002
SAMPLES = 1000
SHOWN = 14
POINTS = 700  # codes of test images drawn in the plane


@dataclass(frozen=True)
class Drawn:
    """Images decoded from codes that were drawn, beside real ones.

    Parameters
    ----------
    model, codes : str
        Which autoencoder; where its codes came from.
    distance : float
        Frechet distance to real test images in 32 principal components, in standard deviations of a pixel.
    realistic, covered : float
        Share of the images among real ones, and of real ones among the images.
    images : list
        The first of them, 0 to 255, (SHOWN, height, width).
    """

    model: str
    codes: str
    distance: float
    realistic: float
    covered: float
    images: list[list[list[int]]]


@dataclass(frozen=True)
class Plane:
    """Codes of two numbers of test images."""

    model: str
    points: list[list[float]]


@dataclass(frozen=True)
class Latents:
    """What the study of codes found.

    Parameters
    ----------
    seed : int
        Of everything.
    spreads : list of Spread
        How the codes of each model lie, beside N(0, I).
    drawn : list of Drawn
        Real images, and decoded ones.
    planes : list of Plane
        Codes of models with two numbers a code.
    gaps : list of Gap
        Training and test error by the weight of the divergence.
    """

    seed: int
    spreads: list[Spread]
    drawn: list[Drawn]
    planes: list[Plane]
    gaps: list[Gap]

    def tables(self) -> list[Table]:
        """How codes lie, what decoded ones are worth, and the gap."""
        spreads = [
            (s.model, s.largest_mean, s.smallest_deviation, s.largest_deviation, s.correlation, s.divergence_nats)
            for s in self.spreads
        ]
        drawn = [(d.model, d.codes, d.distance, d.realistic, d.covered) for d in self.drawn]
        gap = [
            (g.weight, g.rate_nats, g.training_nats, g.test_nats, g.test_nats - g.training_nats, g.test_bound_nats)
            for g in self.gaps
        ]
        return [
            Table(
                f"codes of {SIZE} numbers of test images, beside N(0, I)",
                (
                    "model",
                    "largest mean",
                    "smallest deviation",
                    "largest",
                    "largest correlation",
                    "KL(q(z) || p(z)), nats",
                ),
                spreads,
            ),
            Table(
                f"{SAMPLES:,} images decoded from drawn codes, beside real ones",
                ("model", "codes from", "Frechet distance", "realistic", "covered"),
                drawn,
            ),
            Table(
                "few training images, made binary: nats an image by the weight of the divergence",
                ("weight", "KL", "training -ln p(x | z)", "test", "gap", "test -elbo"),
                gap,
            ),
        ]


def run(seed: int = 0) -> Latents:
    """Train both kinds, draw codes and decode them, and weigh the divergence.

    Parameters
    ----------
    seed : int
        Of weights, order and draws.
    """
    images, test = read(DATA), read(f"{DATA}:test")
    plan = Plan(epochs=EPOCHS, seed=seed, rate=RATE, binarize="threshold", device="cpu")
    models = {kind: trained(images, [*NETWORK, latent, f"latent.size={SIZE}"], plan) for kind, latent in KINDS.items()}
    real = Manifold(_black_and_white(test))
    drawn = [
        _beside(real, test.schema, "real", "training images", torch.from_numpy(_black_and_white(images)[:SAMPLES]))
    ]
    for kind, model in models.items():
        for source, z in _sources(model, images, test, seed).items():
            drawn.append(_beside(real, test.schema, kind, source, decoded(model, z)))
    return Latents(
        seed=seed,
        spreads=[spread_of(kind, _draws(model, test, seed)) for kind, model in models.items()],
        drawn=drawn,
        planes=[
            _plane(kind, trained(images, [*NETWORK, latent, f"latent.size={PLANE}"], plan), test, seed)
            for kind, latent in KINDS.items()
        ],
        gaps=gaps(images, test, seed),
    )


def _sources(model: Model, images: Dataset, test: Dataset, seed: int) -> dict[str, Tensor]:
    """Codes (SAMPLES, d): of test images, from N(0, I), and from a gaussian fitted to the codes of training images."""
    fitted = _draws(model, images, seed)
    normal = Noise(seed + 1).normal((SAMPLES, fitted.shape[1]), rows=0)
    factor = torch.linalg.cholesky(fitted.T.cov() + 1e-6 * torch.eye(fitted.shape[1]))
    return {
        "test images": codes(model, tensor_of(test.values[:SAMPLES])),
        "N(0, I)": normal,
        "fitted gaussian": fitted.mean(0) + normal @ factor.T,
    }


def _black_and_white(data: Dataset) -> np.ndarray:
    """Images as the models have them, in raw levels."""
    low, high = data.schema.low, data.schema.high
    return np.where(data.values > (low + high) / 2, high, low)


@torch.no_grad()
def _draws(model: Model, data: Dataset, seed: int) -> Tensor:
    """One draw of q(z | x) for each row: together they are draws of the aggregate posterior (n, d)."""
    seen = model.batch(tensor_of(data.values), Noise(seed)).seen
    return sample(model.posterior(seen), 1, Noise(seed))[0]


def _beside(real: Manifold, schema: Schema, model: str, source: str, images: Tensor) -> Drawn:
    pixels = images.double().numpy()
    shown = as_pixels(pixels[:SHOWN], schema)[..., 0].tolist()
    return Drawn(model, source, *real.compare(pixels), shown)


def _plane(kind: str, model: Model, test: Dataset, seed: int) -> Plane:
    return Plane(kind, _draws(model, test, seed)[:POINTS].tolist())
