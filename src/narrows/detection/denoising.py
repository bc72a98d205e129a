"""The view that compares with no row: a denoising autoencoder, as fast as its few matrix products."""

from __future__ import annotations

import math
from collections.abc import Sequence

import torch
from torch import Tensor

from narrows.descent import Adam
from narrows.detection.near import Near
from narrows.detection.view import View
from narrows.errors import at_least

RATE = 3e-3
ONLINE_RATE = 1e-3
ONLINE_NORM = 1.0  # gradients are cut to this norm online, so that no one row pulls far
FAR = 1e15  # deviations beyond which all rows are equally far: their squares must stay finite in float32
LIMIT = 5.0  # deviations beyond which neither input nor target pulls harder
LOG_RANGE = 3.0  # ln v lies between minus this and this
BATCH = 256
FEWEST_TO_HOLD_OUT = 20


class Denoising(View, kind="denoising"):
    """Rebuilds a row from itself through a bottleneck, having learnt to do so from rows with gaussian noise.

    x is the scaled row, centred, in units of the root mean square deviation of all features. The network gives a mean
    mu and a variance v for each feature, ln v in [-3, 3]. Score, for the row without noise: sum over features of
    (x_j - mu_j)^2 / v_j + ln v_j + 3, the gaussian -ln p, twice, above the least that it can be. In training each row
    gets noise of a deviation of its own, uniform in [0, 1] (Vincent et al. 2008; variance: Kingma and Welling 2014).

    Parameters
    ----------
    width : int
        Units of the first and the last hidden layer.
    code : int
        Units of the layer between them.
    updates : int
        Steps of training, on batches of 256 rows.
    """

    learns = True
    centre: Tensor
    unit: Tensor
    steps: Tensor

    def __init__(
        self,
        scaling: str = "range",
        references: int = 0,
        k: int = 0,
        weight: float = 1.0,
        width: int = 48,
        code: int = 32,
        updates: int = 1000,
    ) -> None:
        super().__init__(scaling, references, k, weight)
        at_least("view.width", width, 1)
        at_least("view.code", code, 1)
        at_least("view.updates", updates, 1)
        self.width = width
        self.code = code
        self.updates = updates
        for name in ("centre", "unit", *_names()):
            self.register_buffer(name, torch.zeros(0))
        self.register_buffer("steps", torch.zeros((), dtype=torch.int64))

    def fit(self, near: Near, seed: int) -> Tensor:
        """Train on nine rows of ten; return the scores of the others (of all, where there are fewer than 20)."""
        generator = torch.Generator().manual_seed(seed)
        self.centre = near.mean.mean(0)
        deviation = (near.mean - self.centre).square().mean().sqrt()
        self.unit = deviation if deviation > 0 else torch.ones_like(deviation)
        held_out = len(near.mean) // 10 if len(near.mean) >= FEWEST_TO_HOLD_OUT else 0
        x = self._standard(near.mean)
        with torch.enable_grad():
            self._train(x[held_out:], generator)
        return self._judged(x[:held_out] if held_out else x).sum(1, dtype=torch.float64)

    def shares(self, near: Near) -> Tensor:
        """What each feature adds, (n, f)."""
        return self._judged(self._standard(near.mean)).double()

    def forward(self, near: Near) -> Tensor:
        """Scores (n,)."""
        return self._judged(self._standard(near.mean)).sum(1, dtype=torch.float64)

    def learn(self, near: Near) -> None:
        """Make one step of stochastic gradient descent on rows."""
        generator = torch.Generator().manual_seed(int(self.steps))
        with torch.inference_mode(False), torch.enable_grad():
            weights = [weight.clone().requires_grad_() for weight in self._weights()]
            gradients = torch.autograd.grad(self._loss(self._standard(near.mean).clone(), weights, generator), weights)
        norm = torch.stack([gradient.norm() for gradient in gradients]).norm()
        step = ONLINE_RATE * min(1.0, ONLINE_NORM / max(float(norm), 1e-12))
        for weight, gradient in zip(self._weights(), gradients, strict=True):
            weight -= step * gradient
        self.steps += 1

    def _train(self, x: Tensor, generator: torch.Generator) -> None:
        features = x.shape[1]
        sizes = [features, self.width, self.code, self.width, 2 * features]
        gains = [1.4, 1.4, 1.4, 0.3]
        weights = []
        for before, after, gain in zip(sizes, sizes[1:], gains, strict=False):
            weights.append(torch.randn(before, after, generator=generator) * (gain / math.sqrt(before)))
            weights.append(torch.zeros(after))
        weights = [weight.requires_grad_() for weight in weights]
        batch = min(BATCH, max(16, len(x)))
        optimizer = Adam([(weights, 1.0)], RATE, betas=(0.9, 0.99), decay=1e-4)
        for update in range(self.updates):
            optimizer.rate = RATE * min(1, (update + 1) / 50) * (1 - update / self.updates)
            loss = self._loss(x[torch.randint(len(x), (batch,), generator=generator)], weights, generator)
            optimizer.forget()
            loss.backward()
            torch.nn.utils.clip_grad_norm_(weights, 5.0)
            optimizer.step()
        for name, weight in zip(_names(), weights, strict=True):
            setattr(self, name, weight.detach())

    def _loss(self, x: Tensor, weights: Sequence[Tensor], generator: torch.Generator) -> Tensor:
        """Twice the gaussian -ln p of rows given what noise has left of them, mean over rows."""
        deviation = torch.rand(len(x), 1, generator=generator)
        mean, log_variance = _rebuilt(x + deviation * torch.randn(x.shape, generator=generator), weights)
        errors = (x.clamp(-LIMIT, LIMIT) - mean).square()
        return torch.addcmul(log_variance, errors, (-log_variance).exp()).sum(1).mean()

    def _judged(self, x: Tensor) -> Tensor:
        """What each feature adds, (n, f)."""
        mean, log_variance = _rebuilt(x, self._weights())
        # In place: a pass over memory costs as much as a matrix product here.
        squares = (mean - x).clamp_(-FAR, FAR).square_()
        return torch.addcmul(log_variance, squares, log_variance.neg().exp_()).add_(LOG_RANGE)

    def _standard(self, rows: Tensor) -> Tensor:
        return torch.addcmul(-self.centre / self.unit, rows, 1 / self.unit)

    def _weights(self) -> list[Tensor]:
        return [getattr(self, name) for name in _names()]


def _names() -> list[str]:
    """Names of the buffers of the four layers, in order."""
    return [f"{kind}{layer}" for layer in range(4) for kind in ("w", "b")]


def _rebuilt(x: Tensor, weights: Sequence[Tensor]) -> tuple[Tensor, Tensor]:
    """Mean and log variance (n, f) of rows by the network."""
    h = x.clamp(-LIMIT, LIMIT)
    for layer in range(3):
        h = torch.addmm(weights[2 * layer + 1], h, weights[2 * layer]).relu_()
    mean, log_variance = torch.addmm(weights[7], h, weights[6]).chunk(2, 1)
    return mean, log_variance.clamp(-LOG_RANGE, LOG_RANGE)
