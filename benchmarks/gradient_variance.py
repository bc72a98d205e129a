"""Every estimator on images: the variance of the encoder's gradient, and the bound reached in equal time.

Codes of bits and gaussian codes; images made binary by one draw. At a few points of one training, the same weights for
all, each estimator makes many estimates on one batch. Then each trains a model of its own for the same time.

    NARROWS_DATA=... python benchmarks/gradient_variance.py

prints the tables and records them in ``results/gradient_variance.json``, from which ``python benchmarks/chapters.py``
puts them into docs/theory/gradients.md.
"""

from __future__ import annotations

import argparse
import copy
import sys
import time
from collections.abc import Iterator
from typing import Any

import numpy as np
import torch
from torch import Tensor

from narrows.axes import Gradient
from narrows.data import read
from narrows.data.dataset import Dataset, from_array
from narrows.fit import fit
from narrows.inference import bounds
from narrows.model import Model, Recipe
from narrows.noise import Noise
from narrows.plan import Plan
from narrows.study.gradients import every_estimator, name_of
from narrows.study.training import training
from narrows.tensors import tensor_of
from narrows.values import Clock
from record import record

NETWORK = ["network=mlp", "network.width=256", "likelihood=bernoulli"]
# Codes and objective, and the estimator with which the one training goes to its points.
PROBLEMS: dict[str, list[str]] = {
    "bits, elbo": ["latent=bernoulli", "latent.size=64", "objective=elbo", "objective.samples=2", "gradient=score"],
    "bits, iwae": ["latent=bernoulli", "latent.size=64", "objective=iwae", "objective.samples=5", "gradient=score"],
    "gaussian, elbo": ["latent=gaussian", "latent.size=16", "objective=elbo", "objective.samples=2"],
    "gaussian, iwae": ["latent=gaussian", "latent.size=16", "objective=iwae", "objective.samples=5"],
}
BATCH = 128
WARM_STEPS = 200
SEED = 0


def black_and_white(data: Dataset, seed: int) -> Dataset:
    """Pixels drawn once with their grey value as probability."""
    share = data.values / data.schema.high
    drawn = np.random.default_rng(seed).random(share.shape) < share
    return from_array(drawn.astype(np.uint8), labels=data.labels, source=data.source)


def serving(model: Model) -> Iterator[Gradient]:
    """Estimators that serve the model's codes under its objective."""
    return (one for one in every_estimator() if not one.refuses_pair(model.latent, model.objective))


def with_gradient(model: Model, gradient: Gradient) -> Model:
    """A copy with the same weights and another estimator."""
    other = Model(Recipe(**{**model.recipe.parts(), "gradient": gradient}), model.schema, seed=SEED)
    weights = {name: value for name, value in model.state_dict().items() if not name.startswith("gradient.")}
    other.load_state_dict({**other.state_dict(), **weights})
    return other


def warm(model: Model, rows: Tensor) -> None:
    """Let a baseline see batches at these weights, and learn from them alone."""
    own = list(model.gradient.parameters())
    optimizer = torch.optim.Adam(own, lr=1e-3) if own else None
    generator = torch.Generator().manual_seed(SEED)
    for step in range(WARM_STEPS if any(True for _ in model.gradient.buffers()) else 0):
        surrogate, _ = model.loss(rows[torch.randint(len(rows), (BATCH,), generator=generator)], Noise(step), Clock())
        if optimizer is not None:
            optimizer.zero_grad()
            surrogate.backward()
            optimizer.step()


def moments(model: Model, batch: Tensor, estimates: int) -> tuple[Tensor, float, float]:
    """Mean and total variance of the encoder's gradient on a batch, and seconds an estimate."""
    weights = list(model.network.encoder.parameters())
    total = squares = torch.zeros(())
    began = time.perf_counter()
    for turn in range(estimates):
        surrogate, _ = model.loss(batch, Noise(turn), Clock.at_end())
        parts = torch.autograd.grad(surrogate, weights)
        one = torch.cat([part.flatten() for part in parts]).double()
        total, squares = total + one, squares + one.square()
    seconds = (time.perf_counter() - began) / estimates
    mean = total / estimates
    variance = float((squares / estimates - mean.square()).sum()) * estimates / (estimates - 1)
    return mean, variance, seconds


def variances(settings: list[str], data: Dataset, points: list[int], estimates: int) -> list[dict[str, Any]]:
    """At each epoch of one training: the variance of every estimator, by the squared norm of the gradient.

    That norm is that of the least noisy unbiased estimator, less what its noise adds to it.
    """
    rows, found = tensor_of(data.values), []
    plan = Plan(epochs=max(*points, 1), batch_size=BATCH, seed=SEED, device="cpu")
    wanted = set(points)
    for epoch, trained in training(data, [*NETWORK, *settings], plan):
        if epoch not in wanted:
            continue
        wanted.discard(int(epoch))
        measured = {}
        for gradient in serving(trained):
            model = with_gradient(copy.deepcopy(trained), gradient).train()
            warm(model, rows)
            model.gradient.eval()  # a baseline is measured as it stands: it does not go on learning
            biased = model.gradient.bias(model.latent, model.objective)
            measured[name_of(gradient)] = (*moments(model, rows[:BATCH], estimates), biased)
        mean, spread, _, _ = min((one for one in measured.values() if one[3] is None), key=lambda one: one[1])
        squared = float(mean.square().sum()) - spread / estimates
        if squared <= 0:
            raise SystemExit(f"{settings}, epoch {epoch}: {estimates} estimates show no gradient; take more")
        for name, (_, variance, seconds, biased) in measured.items():
            row = {
                "estimator": name,
                "epoch": epoch,
                "variance": variance / squared,
                "seconds": seconds,
                "biased": biased,
            }
            found.append(row)
            print(row, file=sys.stderr, flush=True)
    return found


def reached(settings: list[str], gradient: Gradient, data: Dataset, test: Dataset, minutes: float) -> dict[str, Any]:
    """Train for so long with an estimator; minus the elbo of test images, 16 draws each, in nats."""
    own = [f"gradient={gradient.kind}", *(f"gradient.{name}={value}" for name, value in gradient.get_params().items())]
    chosen = [one for one in settings if not one.startswith("gradient")]
    plan = Plan(minutes=minutes, batch_size=BATCH, validation=0, seed=SEED, device="cpu")
    fitted = fit(data.values, data.schema, "autoencoder", [*NETWORK, *chosen, *own], plan)
    nats = -float(bounds(fitted.model, tensor_of(test.values)).mean())
    return {"estimator": name_of(gradient), "test_nats": nats, "steps": fitted.record["steps"]}


def tables(figures: dict[str, Any]) -> str:
    """Both figures of every estimator, a table for each problem."""
    lines = []
    for name, problem in figures.items():
        points = sorted({round(row["epoch"]) for row in problem["variances"]})
        lines += [
            f"| {name} | " + " | ".join(f"variance, epoch {point}" for point in points) + " | -elbo, nats | steps |"
        ]
        lines += ["|---" * (len(points) + 3) + "|"]
        for end in problem["reached"]:
            own = [row["variance"] for row in problem["variances"] if row["estimator"] == end["estimator"]]
            cells = [*(f"{variance:.3g}" for variance in own), f"{end['test_nats']:.1f}", f"{end['steps']:,}"]
            star = (
                " *"
                if any(row["biased"] for row in problem["variances"] if row["estimator"] == end["estimator"])
                else ""
            )
            lines.append(f"| {end['estimator']}{star} | " + " | ".join(cells) + " |")
        lines.append("")
    return "\n".join(lines)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", default="mnist")
    parser.add_argument("--rows", type=int, default=60_000)
    parser.add_argument("--points", nargs="+", type=int, default=[0, 1, 10], help="epochs at which to measure")
    parser.add_argument("--estimates", type=int, default=400)
    parser.add_argument("--minutes", type=float, default=1.5)
    parser.add_argument("--problems", nargs="+", default=list(PROBLEMS), choices=list(PROBLEMS))
    options = parser.parse_args()
    torch.set_num_threads(1)
    began = time.perf_counter()
    data, test = (black_and_white(read(name), SEED) for name in (options.data, f"{options.data}:test"))
    data = Dataset(data.values[: options.rows], data.schema, None, data.source)
    figures: dict[str, Any] = {}
    for name in options.problems:
        settings = PROBLEMS[name]
        found = variances(settings, data, options.points, options.estimates)
        kept = {row["estimator"] for row in found}
        ends = [
            reached(settings, one, data, test, options.minutes) for one in every_estimator() if name_of(one) in kept
        ]
        figures[name] = {"variances": found, "reached": ends}
    print(tables(figures))
    protocol = (
        f"{options.data}, {options.rows} rows, black and white by one draw; 784-256-code-256-784; variance of the "
        f"encoder's gradient on one batch of {BATCH}, {options.estimates} estimates, by the squared norm of its mean; "
        f"minus the elbo of the test images, 16 draws, after {options.minutes} minutes of training; one thread"
    )
    if vars(options) == vars(parser.parse_args([])):
        record("gradient_variance", figures, seconds=time.perf_counter() - began, protocol=protocol)


if __name__ == "__main__":
    main()
