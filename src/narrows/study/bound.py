"""The evidence lower bound on models whose ln p(x) and p(z | x) are known: ln p(x) = elbo + KL(q(z | x) || p(z | x)).

Two models of embedded images made binary, one with codes of 8 bits and one with codes of one number: sums over all
codes give all three figures. The chapter is docs/theory/bound.md.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from dataclasses import dataclass

import torch

from narrows.data import read
from narrows.data.dataset import Dataset
from narrows.inference import in_float64
from narrows.model import Model
from narrows.noise import Noise
from narrows.plan import Plan
from narrows.study.asymmetry import Asymmetry, asymmetry
from narrows.study.known import Codes, EveryCode, Known, Line, known
from narrows.study.tables import Table
from narrows.study.training import DATA, training
from narrows.study.weighing import COMPONENT_DRAWS, Estimate, Reach, estimates, needed, reaches
from narrows.tensors import tensor_of
from narrows.values import Batch

BITS = 8
NETWORK = ["network=mlp", "network.width=64", "network.residual=true", "likelihood=bernoulli"]
MODELS: dict[str, tuple[list[str], Codes]] = {
    "8 bits": (["latent=bernoulli", f"latent.size={BITS}", "gradient=score", "objective.samples=4"], EveryCode(BITS)),
    "1 number": (["latent=gaussian", "latent.size=1"], Line()),
}
DRAWN = "1 number"
EPOCHS = 6
BATCH = 160  # fifty steps an epoch, after each of which there is a look
IMAGES = 40  # test images that are summed over
LISTED = 3
WEIGHED = 8
COMPONENT_ROWS = 2000
SHOWN_CODES = (-4.0, 4.0)


@dataclass(frozen=True)
class Sum:
    """ln p(x) of one image, and what adds up to it; all in nats.

    Parameters
    ----------
    model, image : str
        Which model; which test image, or the mean.
    log_px : float
        ln p(x), by the sum over all codes.
    elbo : float
        E_q[ln p(x | z)] - KL(q(z | x) || p(z)).
    divergence : float
        KL(q(z | x) || p(z | x)).
    residual : float
        log_px - elbo - divergence: 0 but for rounding.
    from_prior : float
        KL(p(z | x) || p(z)).
    """

    model: str
    image: str
    log_px: float
    elbo: float
    divergence: float
    residual: float
    from_prior: float


@dataclass(frozen=True)
class Moment:
    """Means over test images at a moment of the training, in nats."""

    epoch: float
    log_px: float
    elbo: float
    divergence: float


@dataclass(frozen=True)
class Posterior:
    """Densities over the code of one image: of the posterior, and of the encoder."""

    image: str
    divergence: float
    posterior: list[float]
    encoder: list[float]


@dataclass(frozen=True)
class Bound:
    """What the study of the bound found.

    Parameters
    ----------
    seed : int
        Of everything.
    sums : list of Sum
        Some test images, and the mean over all that were summed over.
    largest_residual_nats : float
        Of all of them.
    moments : list of Moment
        On the way of the training of the model with one number.
    codes : list of float
        Where the posteriors were evaluated.
    posteriors : list of Posterior
        Of three test images: where the encoder comes near, at the median, and where it is farthest off.
    estimates : list of Estimate
        Importance sampling of ln p(x) of the model with one number.
    reaches : list of Reach
        Draws from the prior in linear models of more numbers.
    asymmetry : Asymmetry
        A law with two modes and the nearest gaussians.
    """

    seed: int
    sums: list[Sum]
    largest_residual_nats: float
    moments: list[Moment]
    codes: list[float]
    posteriors: list[Posterior]
    estimates: list[Estimate]
    reaches: list[Reach]
    asymmetry: Asymmetry

    def tables(self) -> list[Table]:
        """The sums, the draws that are needed, and the two divergences."""
        sums = [(s.model, s.image, s.log_px, s.elbo, s.divergence, f"{s.residual:.0e}") for s in self.sums]
        weighed = [(e.proposal, e.draws, e.mean_error_nats, e.deviation_nats) for e in self.estimates]
        reached = [
            (r.components, r.from_prior_nats, f"{needed(r.from_prior_nats):.1e}", r.mean_error_nats)
            for r in self.reaches
        ]
        nearest = [(n.by, n.mean, n.deviation, n.reverse_nats, n.forward_nats) for n in self.asymmetry.nearest]
        sampled = f"error with {COMPONENT_DRAWS:,}"
        return [
            Table(
                "ln p(x) = elbo + KL(q || p(z | x)), in nats", ("codes", "image", "ln p(x)", "elbo", "KL", "left"), sums
            ),
            Table(
                "ln p(x) by importance sampling, codes of 1 number: error in nats",
                ("codes drawn from", "draws", "mean error", "standard deviation"),
                weighed,
            ),
            Table(
                "ln p(x) by draws from the prior, principal components",
                ("numbers", "KL(p(z | x) || p(z))", "draws needed, about", sampled),
                reached,
            ),
            Table(
                "the gaussian nearest to a law with two modes, in nats",
                ("lowest", "mean", "deviation", "KL(q || p)", "KL(p || q)"),
                nearest,
            ),
        ]


def run(seed: int = 0) -> Bound:
    """Train the two models, sum over their codes, weigh draws, and find the nearest gaussians.

    Parameters
    ----------
    seed : int
        Of weights, order and draws.
    """
    images, test = read(DATA), read(f"{DATA}:test")
    plan = Plan(epochs=EPOCHS, batch_size=BATCH, seed=seed, binarize="threshold", device="cpu")
    sums, moments, models = list[Sum](), list[Moment](), dict[str, tuple[Model, Batch, Known]]()
    for name, (settings, over) in MODELS.items():
        way = training(images, [*NETWORK, *settings], plan)
        for epoch, model in way:
            if name == DRAWN or epoch == EPOCHS:
                models[name] = _known(model, test, over)
                found = models[name][2]
                if name == DRAWN:
                    moments.append(Moment(epoch, *_means(found.log_px, found.elbo, found.gap)))
        sums += _sums(name, models[name][2])
    model, batch, found = models[DRAWN]
    few = dataclasses.replace(batch, x=batch.x[:WEIGHED], seen=batch.seen[:WEIGHED])
    rows, shown = (values.reshape(len(values), -1) / 255.0 for values in (images.values, test.values))
    return Bound(
        seed=seed,
        sums=sums,
        largest_residual_nats=max(float(_residual(known).abs().max()) for _, _, known in models.values()),
        moments=moments,
        codes=_shown(MODELS[DRAWN][1].codes[:, 0]).tolist(),
        posteriors=_posteriors(found),
        estimates=estimates(model, few, found.log_px[:WEIGHED], seed),
        reaches=reaches(rows[:COMPONENT_ROWS], shown[:IMAGES], seed),
        asymmetry=asymmetry(),
    )


def _known(model: Model, test: Dataset, over: Codes) -> tuple[Model, Batch, Known]:
    exact = in_float64(model).eval()
    batch = exact.batch(tensor_of(test.values[:IMAGES]), Noise(0))
    return exact, batch, known(exact, batch, over)


def _residual(found: Known) -> torch.Tensor:
    return found.log_px - found.elbo - found.gap


def _means(*figures: torch.Tensor) -> Sequence[float]:
    return [float(figure.mean()) for figure in figures]


def _sums(model: str, found: Known) -> list[Sum]:
    """The first images one by one, and the mean."""
    figures = (found.log_px, found.elbo, found.gap, _residual(found), found.from_prior)
    rows = [Sum(model, str(i), *(float(figure[i]) for figure in figures)) for i in range(LISTED)]
    return [*rows, Sum(model, f"mean of {len(found.log_px)}", *_means(*figures))]


def _posteriors(found: Known) -> list[Posterior]:
    """Densities of the images whose gap is near the lowest tenth, the median, and the highest."""
    order = found.gap.argsort().tolist()
    volume = MODELS[DRAWN][1].log_volume
    return [
        Posterior(
            f"test image {i}",
            float(found.gap[i]),
            *(_shown((log[:, i] - volume).exp()).tolist() for log in (found.log_posterior, found.log_q)),
        )
        for i in (order[len(order) // 10], order[len(order) // 2], order[-1])
    ]


def _shown(values: torch.Tensor) -> torch.Tensor:
    """Those of the codes that lie where codes are."""
    z = MODELS[DRAWN][1].codes[:, 0]
    return values[(z >= SHOWN_CODES[0]) & (z <= SHOWN_CODES[1])]
