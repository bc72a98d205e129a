"""What the divergence does to the gap between training and test error: one model on few images, at several weights."""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass

import torch

from narrows.data.dataset import Dataset
from narrows.model import Model
from narrows.noise import Noise
from narrows.plan import Plan
from narrows.study.training import trained
from narrows.tensors import tensor_of

ROWS = 500  # training images
EPOCHS = 100
WEIGHTS = (0.0, 0.1, 0.3, 1.0, 3.0)
SETTINGS = ["network=mlp", "network.width=128", "likelihood=bernoulli", "latent=gaussian", "latent.size=16"]


@dataclass(frozen=True)
class Gap:
    """Errors of one model in nats an image, one draw of each code.

    Parameters
    ----------
    weight : float
        Of the divergence in training, beta.
    rate_nats : float
        KL(q(z | x) || p(z)) of training images.
    training_nats, test_nats : float
        -ln p(x | z) of training and of test images.
    training_bound_nats, test_bound_nats : float
        Minus the elbo of either, the divergence at its full weight.
    """

    weight: float
    rate_nats: float
    training_nats: float
    test_nats: float
    training_bound_nats: float
    test_bound_nats: float


def gaps(images: Dataset, test: Dataset, seed: int) -> list[Gap]:
    """Train on few images, made binary, long past the point where it stops to help; measure on others."""
    few = dataclasses.replace(images, values=images.values[:ROWS])
    rows = []
    for weight in WEIGHTS:
        plan = Plan(epochs=EPOCHS, seed=seed, binarize="threshold", device="cpu")
        model = trained(few, [*SETTINGS, f"objective.beta={weight}"], plan)
        (training, rate), (error, test_rate) = (_figures(model, data) for data in (few, test))
        rows.append(Gap(weight, rate, training, error, training + rate, error + test_rate))
    return rows


@torch.no_grad()
def _figures(model: Model, data: Dataset) -> tuple[float, float]:
    """Mean -ln p(x | z) and mean KL, in nats."""
    terms = model.terms(model.batch(tensor_of(data.values), Noise(0)), 1, Noise(0))
    return -float(terms.log_px.mean()), float(terms.kl.mean())
