"""Likelihoods of values on a grid: bits, symbols, and the levels of an 8-bit image."""

from __future__ import annotations

from typing import Any, ClassVar

import torch
from torch import Tensor, distributions
from torch.distributions import Distribution, Independent
from torch.nn.functional import logsigmoid, softplus

from narrows.axes import Likelihood, usual_likelihood
from narrows.data.schema import Schema
from narrows.errors import at_least
from narrows.likelihoods.bits import log_prob_of_bits
from narrows.noise import Noise
from narrows.sampling import draw, gumbel_argmax

# From where a logistic's tail is nothing beside 1. Slopes further out would soon leave float32's normal range, below
# which a processor takes several times as long, for the products that they go through as well.
CERTAIN = 40.0


class Bernoulli(Likelihood, kind="bernoulli"):
    """Binary cells: log p(x | z) = sum_i [x_i ln p_i + (1 - x_i) ln(1 - p_i)] nats, p = sigmoid(decoder output).

    Minus this is the binary cross-entropy (BCE), computed from logits. It is a likelihood on binary data alone: on
    grey values it does not sum to one, so they are refused.
    """

    def refuses(self, schema: Schema) -> str | None:
        """Values other than two."""
        if schema.values == "binary":
            return None
        binarise = ", or binarise them with --binarize threshold or --binarize draw" if schema.levels else ""
        return (
            f"likelihood bernoulli (BCE) scores binary data, and these are {schema.describe()}; take "
            f"likelihood={usual_likelihood(schema)}{binarise}"
        )

    def forward(self, params: Tensor) -> Distribution:
        """Logits (k, n, 1, x) -> independent bits."""
        return Bits(params.squeeze(2))


class Bits(Distribution):
    """Independent bits.

    Parameters
    ----------
    logits : Tensor, shape (k, n, x)
        ln p / (1 - p) of each bit.
    """

    arg_constraints: ClassVar[dict[str, Any]] = {}

    def __init__(self, logits: Tensor) -> None:
        self.logits = logits
        super().__init__(logits.shape[:2], logits.shape[2:], validate_args=False)

    @property
    def mean(self) -> Tensor:
        """Probability of a one, (k, n, x)."""
        return self.logits.sigmoid()

    def log_prob(self, value: Tensor) -> Tensor:
        """Nats of the bits ``value`` (n, x) or (k, n, x), summed over cells: (k, n)."""
        logits = self.logits if value.dim() < self.logits.dim() else self.logits.expand_as(value)
        return log_prob_of_bits(logits.flatten(2), value.expand_as(logits).flatten(2))


@draw.register
def _(q: Bits, shape: tuple[int, ...], rows: int, noise: Noise) -> Tensor:
    return (noise.uniform(shape, rows=rows) < q.mean).to(q.logits.dtype)


class Levels(Likelihood):
    """What the likelihoods of 3 to 256 levels share."""

    levels: int

    def refuses(self, schema: Schema) -> str | None:
        """Values that have no, or no finite number of, levels."""
        if schema.levels >= 2:
            return None
        return (
            f"likelihood {self.kind} scores values on a grid of 2 to 256 levels, and the data are {schema.describe()}; "
            f"take likelihood={usual_likelihood(schema)}"
        )

    def build(self, schema: Schema) -> None:
        """Take the number of levels."""
        self.levels = schema.levels


class Categorical(Levels, kind="categorical"):
    """Each cell one of L unordered levels: p(x_i = l | z) = softmax_l(decoder output).

    It can fit any distribution over the levels, and knows nothing of their order: L numbers a cell.
    """

    def build(self, schema: Schema) -> None:
        """Take the number of levels, which is the number of parameters a cell."""
        super().build(schema)
        self.n_params = schema.levels
        self.n_axes = len(schema.shape)

    def forward(self, params: Tensor) -> Distribution:
        """Logits (k, n, L, x) -> independent cells."""
        # torch subtracts the log of the sum of exponentials, which rounds to the size of the logits: keep that small.
        logits = params.movedim(2, -1)
        logits = logits - logits.detach().amax(-1, keepdim=True)
        cells = _OrderedCategorical(logits=logits, validate_args=False)
        return Independent(cells, self.n_axes, validate_args=False)


class _OrderedCategorical(distributions.Categorical):
    """A categorical whose mean is that of the level's index."""

    @property
    def mean(self) -> Tensor:
        """sum_l l p_l."""
        return self.probs @ torch.arange(self.logits.shape[-1], dtype=self.probs.dtype, device=self.probs.device)


class Logistic(Levels, kind="logistic"):
    """A logistic density, or a mixture of them, cut into the levels 0..L-1 (Salimans et al. 2017, section 2.1).

    p(x = l) = sum_c pi_c [F((l + 1/2 - mu_c) / s_c) - F((l - 1/2 - mu_c) / s_c)] with the logistic F; level 0 takes the
    whole lower tail and level L-1 the whole upper one, so the masses sum to one. With F = sigmoid, a and b the two
    arguments, ln[F(a) - F(b)] = ln F(a) + ln F(-b) + ln(1 - exp(-1/s)), which is exact in every tail.

    The decoder gives for each cell and component: mean (in half ranges from the middle), log scale and, in a mixture,
    a logit.

    Parameters
    ----------
    components : int
        Components of the mixture.
    """

    def __init__(self, components: int = 1) -> None:
        super().__init__()
        at_least("likelihood.components", components, 1)
        self.components = components
        self.n_params = 2 if components == 1 else 3 * components

    def forward(self, params: Tensor) -> Distribution:
        """Parameters (k, n, P, x) -> independent cells."""
        half = (self.levels - 1) / 2
        mean, log_scale, *logits = params.unflatten(2, (-1, self.components)).unbind(2)
        # Bounded smoothly: 1/150 to 150 times a scale of a sixth of the range.
        scale = half / 3 * (5 * torch.tanh(log_scale / 5)).exp()
        return DiscretizedLogistic(half + half * mean, scale, logits[0] if logits else None, self.levels)


class DiscretizedLogistic(Distribution):
    """Mixture of logistics cut into levels, independent over cells.

    Parameters
    ----------
    mean, scale : Tensor, shape (k, n, c, x)
        Of the c components, in levels.
    logits : Tensor or None, shape (k, n, c, x)
        Of the components; None if there is one.
    levels : int
        Number of levels.
    """

    arg_constraints: ClassVar[dict[str, Any]] = {}

    def __init__(self, mean: Tensor, scale: Tensor, logits: Tensor | None, levels: int) -> None:
        self.loc = mean
        self.scale = scale
        self.logits = logits
        self.levels = levels
        super().__init__(mean.shape[:2], mean.shape[3:], validate_args=False)

    @property
    def weights(self) -> Tensor:
        """Weights of the components, (k, n, c, x) or 1."""
        return self.loc.new_ones(()) if self.logits is None else self.logits.softmax(2)

    @property
    def mean(self) -> Tensor:
        """Mean level (k, n, x): that of the density held to the range, so exact but for rounding to levels.

        E[clip(X, 0, L - 1)] = s [ln(1 + e^(mu / s)) - ln(1 + e^((mu - L + 1) / s))] for each component, weighted.
        """
        top = self.levels - 1
        beyond = softplus(-self.loc.abs() / self.scale) - softplus(-(self.loc - top).abs() / self.scale)
        return (self.weights * (self.loc.clamp(0, top) + self.scale * beyond)).sum(2)

    def log_prob(self, value: Tensor) -> Tensor:
        """Nats of the levels ``value`` (n, x) or (k, n, x), summed over cells: (k, n)."""
        value = value.unsqueeze(-1 - len(self.event_shape))
        inverse = self.scale.reciprocal()
        from_mean = (value - self.loc) * inverse
        half_step = 0.5 * inverse
        below_top = value < self.levels - 1
        above_bottom = value > 0
        log_mass = (
            torch.where(below_top, logsigmoid((from_mean + half_step).clamp(max=CERTAIN)), 0)
            + torch.where(above_bottom, logsigmoid((half_step - from_mean).clamp(max=CERTAIN)), 0)
            + torch.where(below_top & above_bottom, torch.log(-torch.expm1(-inverse)), 0)
        )
        if self.logits is None:
            cells = log_mass.squeeze(2)
        else:
            cells = torch.logsumexp(log_mass + self.logits.log_softmax(2), 2)
        return cells.flatten(2).sum(2)


@draw.register
def _(q: DiscretizedLogistic, shape: tuple[int, ...], rows: int, noise: Noise) -> Tensor:
    loc, scale = q.loc, q.scale
    if q.logits is not None:
        last = q.logits.movedim(2, -1)
        picked = gumbel_argmax(last, (shape[0], *last.shape), rows, noise).unsqueeze(3)
        loc, scale = (part.expand(shape[0], *part.shape).gather(3, picked) for part in (loc, scale))
    else:
        loc, scale = loc.expand(shape[0], *loc.shape), scale.expand(shape[0], *scale.shape)
    uniform = noise.uniform(shape, rows=rows).clamp(1e-7, 1 - 1e-7)
    return (loc.squeeze(3) + scale.squeeze(3) * torch.logit(uniform)).round().clamp(0, q.levels - 1)
