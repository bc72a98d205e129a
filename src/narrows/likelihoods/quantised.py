"""Images in two parts: coarse levels told from their neighbours, and the rest, which lossy compression leaves out."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import Any, ClassVar

import torch
from torch import Tensor, nn
from torch.distributions import Distribution, Normal
from torch.nn import functional as F

from narrows.axes import usual_likelihood
from narrows.data.schema import Schema
from narrows.errors import at_least
from narrows.likelihoods.local import Local, LocalLevels, picked
from narrows.likelihoods.pixels import DiscretizedLogistic, Levels
from narrows.noise import Noise
from narrows.sampling import draw

REACH = 3
SIDE = range(-REACH, REACH + 1)
AROUND = [(row, column) for row in SIDE for column in SIDE if (row, column) != (0, 0)]
"""Rows and columns, seen from a pixel, of the coarse levels that it is restored from beside its own."""
RESTORING_WIDTH = 64
STEP_FEATURES = 2


class Quantised(Levels, kind="quantised"):
    """ln p(x) >= ln P(q) + ln p(x | q), where q is x in steps of s = 2 ``near`` + 1 levels: rate and distortion.

    P is that of likelihood `local` with levels grouped by s: a coarse level has the mass of all levels within ``near``
    of it, told from neighbours as coarse as itself. p(x | q) is normal, around levels that a second, small network
    restores from the coarse ones on all sides, with the variance of rounding, s^2 / 12; its density at whole numbers
    adds up to 1 within 1e-6. So minus the elbo is

        -ln P(q) + 6 |x - restored|^2 / s^2 + a constant of s,

    rate + lambda * distortion. Lossy compression keeps q, whose levels it may choose otherwise where that makes the sum
    smaller, and restores the rest. The step is that of near-lossless JPEG-LS (Weinberger et al. 2000).

    One model serves all steps: training draws one for each image, evenly in its logarithm, and tells both networks of
    it. Elsewhere it is the finest.

    Parameters
    ----------
    reach, width, depth, components, glimpse : int
        As in `Local`.
    finest, coarsest : int
        ``near`` of the finest and of the coarsest step; at most half the range.
    """

    pace = 4.0
    matrices = True
    n_params = 0
    offsets: Tensor

    def __init__(
        self,
        reach: int = 3,
        width: int = 128,
        depth: int = 3,
        components: int = 3,
        glimpse: int = 32,
        finest: int = 4,
        coarsest: int = 48,
    ) -> None:
        super().__init__()
        at_least("likelihood.finest", finest, 1)
        at_least("likelihood.coarsest", coarsest, finest)
        self.local = Local(reach, width, depth, components, told=STEP_FEATURES, glimpse=glimpse)
        self.reach = reach
        self.width = width
        self.depth = depth
        self.components = components
        self.glimpse = glimpse
        self.finest = finest
        self.coarsest = coarsest

    def refuses(self, schema: Schema) -> str | None:
        """Data without levels that could be coarser, or without pixels that lie beside each other."""
        if schema.is_image and schema.levels != 2:
            return super().refuses(schema)
        return (
            f"likelihood quantised tells levels of images in coarse steps, and the data are {schema.describe()}; take "
            f"likelihood={usual_likelihood(schema)}"
        )

    def build(self, schema: Schema) -> None:
        """Make the weights, for images of this size."""
        super().build(schema)
        self.local.build(schema)
        self.shape = schema.shape
        self.steps = tuple(step_of(min(near, (self.levels - 1) // 2)) for near in (self.finest, self.coarsest))
        columns = self.shape[2] + 2 * REACH
        offsets = [0, *(row * columns + column for row, column in AROUND)]
        self.register_buffer("offsets", torch.tensor(offsets, device="cpu"), persistent=False)
        self.restoring = nn.Sequential(
            nn.Linear(self.shape[0] * (len(AROUND) + 1) + STEP_FEATURES, RESTORING_WIDTH),
            nn.ReLU(),
            nn.Linear(RESTORING_WIDTH, RESTORING_WIDTH),
            nn.ReLU(),
            last := nn.Linear(RESTORING_WIDTH, self.shape[0]),
        )
        for parameter in last.parameters():  # at first what is restored is the coarse level itself
            nn.init.zeros_(parameter)

    def forward(self, params: Tensor) -> Distribution:
        """Nothing from a decoder (k, n, 0, x) -> p(x) at the finest step."""
        return self._at(params.new_full(params.shape[:2], self.steps[0]))

    def estimated(self, p: Distribution, noise: Noise) -> Distribution:
        """The law at a step drawn for each image, scored from ``glimpse`` of its pixels."""
        low, high = (math.log((step - 1) / 2 + 0.5) for step in self.steps)
        near = (low + (high - low) * noise.uniform(p.batch_shape, rows=1)).exp().sub_(0.5).round_()
        law = self._at(step_of(near))
        return QuantisedLevels(self, law.steps, self.local.estimated(law.coarse, noise))

    def _at(self, steps: Tensor) -> QuantisedLevels:
        """p(x) at steps (k, n)."""
        told = torch.stack(step_features(steps, self.steps), -1)[..., None, None, None]
        return QuantisedLevels(self, steps, LocalLevels(self.local, told.expand(*told.shape[:3], *self.shape)))

    def grouped(self, mixtures: Tensor, steps: Tensor) -> DiscretizedLogistic:
        """Coarse levels (1, m, ...) in steps (m,) under mixtures (m, 3 * components, ...) of fine ones."""
        fine = self.local.mixture(mixtures)
        step = steps.view(-1, *(1 for _ in mixtures.shape[1:]))
        levels = in_steps(torch.full_like(step, self.levels - 1), step) + 1
        # Each image has as many levels as its step leaves.
        return DiscretizedLogistic(fine.loc / step, fine.scale / step, fine.logits, levels)

    def restored(self, q: Tensor, steps: Tensor, places: Tensor) -> Tensor:
        """Levels (m, c, s) at pixels (m, s), from coarse ones (m, c, rows, columns) in steps (m,)."""
        padded = F.pad(q, (REACH,) * 4, mode="replicate").flatten(2)
        columns = self.shape[2] + 2 * REACH
        own = (places // self.shape[2] + REACH) * columns + places % self.shape[2] + REACH
        cells = (own.unsqueeze(1) + self.offsets[:, None]).flatten(1)
        seen = padded.gather(2, cells.unsqueeze(1).expand(-1, self.shape[0], -1)).unflatten(2, (len(self.offsets), -1))
        step = steps.view(-1, 1, 1)
        value = in_levels(seen[:, :, 0], step, self.levels)
        inputs = [
            (seen[:, :, 1:] - seen[:, :, :1]).flatten(1, 2),
            value / (self.levels - 1),
            *(feature.expand(-1, 1, value.shape[2]) for feature in step_features(step, self.steps)),
        ]
        rest = self.restoring(torch.cat(inputs, 1).transpose(1, 2)).transpose(1, 2)
        return value + step * rest.to(value.dtype)


class QuantisedLevels(Distribution):
    """Images, coarse levels first and then the rest.

    Parameters
    ----------
    quantised : Quantised
        The networks.
    steps : Tensor, shape (k, n)
        Distance between neighbouring coarse levels, an odd number of levels.
    coarse : LocalLevels
        The law of what neighbours tell at such steps, and the pixels from which `log_prob` is estimated.
    """

    arg_constraints: ClassVar[dict[str, Any]] = {}

    def __init__(self, quantised: Quantised, steps: Tensor, coarse: Distribution) -> None:
        assert isinstance(coarse, LocalLevels)
        self.quantised = quantised
        self.steps = steps
        self.coarse = coarse
        super().__init__(coarse.batch_shape, coarse.event_shape, validate_args=False)

    def log_prob(self, value: Tensor) -> Tensor:
        """Nats of the levels ``value`` (n, x) or (k, n, x), summed over cells, or estimated from some: (k, n)."""
        rate, distortion = self.parts(value)
        return -(rate + distortion)

    def parts(self, value: Tensor) -> tuple[Tensor, Tensor]:
        """Rate -ln P(q) and distortion -ln p(x | q) in nats, (k, n) each."""
        x = value.expand(*self.batch_shape, *self.event_shape).flatten(0, 1)
        given = (x, self.steps.flatten(), self.coarse.told.flatten(0, 1), self.coarse.scored)
        split = (tensor.split(self.coarse.images_at_once) for tensor in given)
        parts = [self._parts(*some) for some in zip(*split, strict=True)]
        rate, distortion = (
            torch.cat(part).view(self.batch_shape) / self.coarse.share for part in zip(*parts, strict=True)
        )
        return rate, distortion

    def _parts(self, x: Tensor, steps: Tensor, told: Tensor, places: Tensor) -> tuple[Tensor, Tensor]:
        quantised, local = self.quantised, self.quantised.local
        step = steps.view(-1, 1, 1, 1)
        q = in_steps(x, step)
        mixtures = local.at(local.seen(in_levels(q, step, quantised.levels)), told, places).movedim(-1, 1)
        mean = quantised.restored(q, steps, places)
        coarse, fine = (picked(levels, places) for levels in (q, x))
        rate = quantised.grouped(mixtures, steps).log_prob(coarse)[0]
        return -rate, -_rest(mean, steps).log_prob(fine).flatten(1).sum(1)

    @property
    def mean(self) -> Tensor:
        """Images (k, n, x) restored from those in which each coarse level is nearest its mean given those before it."""
        levels = self._restored(1, lambda law, place: law.mean[0]).loc.clamp(0, self.quantised.levels - 1)
        return levels.view(*self.batch_shape, *self.event_shape)

    def _restored(self, k: int, choose: Callable[..., Tensor]) -> Normal:
        """p(x | q) for k images of each (k * batch, x), every level of q the one nearest what is chosen."""
        quantised = self.quantised
        steps = self.steps.expand(k, *self.batch_shape).flatten()

        def level(law: DiscretizedLogistic, place: tuple[int, int, int]) -> Tensor:
            chosen = choose(law, place).clamp(0, quantised.levels - 1).round()
            return in_levels(in_steps(chosen, steps), steps, quantised.levels)

        values = self.coarse.walked(k, level).flatten(0, 2)
        q = in_steps(values, steps.view(-1, 1, 1, 1))
        mean = quantised.restored(q, steps, quantised.local.every_place(q.shape[0], q.device)).view_as(q)
        return _rest(mean, steps)


@draw.register
def _(q: QuantisedLevels, shape: Sequence[int], rows: int, noise: Noise) -> Tensor:
    uniform = noise.uniform(shape, rows=rows).reshape(-1, *q.event_shape, 1)
    step = q.steps.expand(*shape[:-3]).reshape(-1, 1)
    most = int(in_steps(q.quantised.levels - 1, q.steps.min()))

    def drawn(law: DiscretizedLogistic, place: tuple[int, int, int]) -> Tensor:
        ends = ((torch.arange(most, device=step.device) + 0.5) * step).unsqueeze(1)
        below = ((ends - law.loc[0].unsqueeze(2)) / law.scale[0].unsqueeze(2)).sigmoid()
        coarse = ((law.weights[0].unsqueeze(2) * below).sum(1) < uniform[:, *place]).sum(1)
        return coarse * step[:, 0]

    rest = q._restored(shape[0], drawn)
    levels = torch.addcmul(rest.loc.view(*shape), rest.scale.view(*shape), noise.normal(shape, rows=rows))
    return levels.round().clamp(0, q.quantised.levels - 1)


def _rest(mean: Tensor, steps: Tensor) -> Normal:
    """Levels (m, ...) around means (m, ...), with the variance of rounding to steps (m,)."""
    scale = (steps / math.sqrt(12)).view(-1, *(1 for _ in mean.shape[1:]))
    return Normal(mean, scale.expand_as(mean), validate_args=False)


def step_of(near: Any) -> Any:
    """Levels in a step that leaves none farther than ``near`` from a coarse one."""
    return 2 * near + 1


def in_steps(x: Any, step: Any) -> Any:
    """Levels -> the nearest whole steps; tensors or arrays."""
    return (x + (step - 1) // 2) // step


def in_levels(q: Any, step: Any, levels: int) -> Any:
    """Whole steps -> levels, of which the last is ``levels - 1``; tensors or arrays."""
    return (q * step).clip(max=levels - 1)


def step_features(step: Any, ends: Sequence[int]) -> tuple[Any, Any]:
    """What the networks are told of a step: its share of the coarsest, and the share that the finest has of it."""
    return step / ends[1], ends[0] / step
