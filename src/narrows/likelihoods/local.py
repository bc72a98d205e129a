"""Pixels told from the pixels before them, and from the code."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, ClassVar

import torch
from torch import Tensor, nn
from torch.distributions import Distribution
from torch.nn import functional as F

from narrows.axes import usual_likelihood
from narrows.data.schema import Schema
from narrows.errors import at_least, at_most
from narrows.likelihoods.pixels import DiscretizedLogistic, Levels
from narrows.noise import Noise
from narrows.sampling import SMALLEST_UNIFORM, draw

SUMS_AT_ONCE = 40_000_000  # of large images fewer at once, so that memory does not grow with them


class Local(Levels, kind="local"):
    """Levels of an image, pixel by pixel: p(x | z) = prod_i p(x_i | pixels before i in its window, z).

    Pixels come row by row, their channels in order. The window has ``reach`` rows above and reaches as many columns to
    either side; of the pixel's own row it has what is to the left, and of the pixel itself the channels before. A small
    fully connected network, the same for all pixels, gives a mixture of discretised logistics for each level (as
    PixelCNN does with a deep network, Salimans et al. 2017; over a small window, Schirrmeister et al. 2020 and Zhang et
    al. 2021).

    What the neighbours tell, the code need not, so codes may hold less than under other likelihoods. There is no mean
    of a row without its neighbours: in its place stands the row in which each level is the mean given those before it.

    Parameters
    ----------
    reach : int
        Rows above, and columns to either side, that are seen.
    width : int
        Units in a hidden layer.
    depth : int
        Hidden layers.
    components : int
        Logistics in a mixture.
    told : int
        Numbers that the decoder gives the network for each level; 0 for none, where the code says nothing.
    """

    before: Tensor

    def __init__(self, reach: int = 3, width: int = 128, depth: int = 3, components: int = 5, told: int = 4) -> None:
        super().__init__()
        at_least("likelihood.reach", reach, 1)
        at_most("likelihood.reach", reach, 32)
        at_least("likelihood.width", width, 1)
        at_least("likelihood.depth", depth, 1)
        at_least("likelihood.components", components, 1)
        at_least("likelihood.told", told, 0)
        self.reach = reach
        self.width = width
        self.depth = depth
        self.components = components
        self.told = told
        self.n_params = told

    def refuses(self, schema: Schema) -> str | None:
        """Data without levels, or without pixels that lie beside each other."""
        if schema.is_image:
            return super().refuses(schema)
        return (
            f"likelihood local tells pixels from those beside them, and the data are {schema.describe()}; take "
            f"likelihood={usual_likelihood(schema)}"
        )

    def build(self, schema: Schema) -> None:
        """Make the weights, for images of this size."""
        super().build(schema)
        self.channels, rows, columns = schema.shape
        units = self.channels * self.width
        window = (self.channels + 1, self.reach + 1, 2 * self.reach + 1)
        self.first = nn.Parameter(torch.empty(self.channels, self.width, *window))
        nn.init.normal_(self.first, std=(2 / (self.first[0, 0].numel() / 2)) ** 0.5)
        # The mean begins as that of the neighbours to the left and above: what is learnt is how far a level is off.
        linear = torch.zeros(self.channels, 1, *window)
        for channel in range(self.channels):
            linear[channel, 0, channel, self.reach, self.reach - 1] = 0.5
            linear[channel, 0, channel, self.reach - 1, self.reach] = 0.5
        self.linear = nn.Parameter(linear)
        self.register_buffer("before", _before(self.channels, self.reach), persistent=False)
        self.bias = nn.Parameter(torch.zeros(units))
        self.row_bias = nn.Parameter(torch.zeros(units, rows, 1))
        self.column_bias = nn.Parameter(torch.zeros(units, 1, columns))
        self.from_code = nn.Parameter(torch.randn(self.told, self.width) * 0.1) if self.told else None
        layers: list[nn.Module] = [nn.ReLU()]
        for _ in range(self.depth - 1):
            layers += [nn.Linear(self.width, self.width), nn.ReLU()]
        last = nn.Linear(self.width, 3 * self.components)
        with torch.no_grad():  # components begin at different levels, or they would stay alike
            last.weight *= 0.1
            last.bias.zero_()[: self.components] = torch.linspace(-0.1, 0.1, self.components)
        self.rest = nn.Sequential(*layers, last)

    def forward(self, params: Tensor) -> Distribution:
        """Numbers (k, n, told, c, rows, columns) for each level -> p(x | z)."""
        return LocalLevels(self, params)

    def seen(self, levels: Tensor) -> Tensor:
        """Levels (m, c, rows, columns) as the network sees them: in half ranges, beside ones, bordered by zeros."""
        half = (self.levels - 1) / 2
        inside = torch.ones_like(levels[:, :1])
        return F.pad(torch.cat([levels / half - 1, inside], 1), (self.reach, self.reach, self.reach, 0))

    def everywhere(self, levels: Tensor, told: Tensor) -> Tensor:
        """Mixtures (m, 3 * components, c, rows, columns) of all levels, given all those before each."""
        seen = self.seen(levels)
        sums = F.conv2d(seen, (self.first * self.before).flatten(0, 1), self.bias) + self.row_bias + self.column_bias
        line = F.conv2d(seen, (self.linear * self.before).flatten(0, 1))
        cells = sums.unflatten(1, (self.channels, self.width)).movedim(2, -1)
        return self._mixtures(cells, line, told.movedim(1, -1)).movedim(-1, 1)

    def at(self, canvas: Tensor, told: Tensor, place: tuple[int, int, int]) -> Tensor:
        """Mixtures (m, 3 * components) of one level, ``place`` its channel, row and column, from what `seen` gives."""
        channel, row, column = place
        window = canvas[:, :, row : row + self.reach + 1, column : column + 2 * self.reach + 1]
        units = slice(channel * self.width, (channel + 1) * self.width)
        weights, line = ((part[channel] * self.before[channel]).flatten(1) for part in (self.first, self.linear))
        bias = self.bias[units] + self.row_bias[units, row, 0] + self.column_bias[units, 0, column]
        cells = window.flatten(1)
        return self._mixtures(torch.addmm(bias, cells, weights.T), cells @ line[0], told[:, :, channel, row, column])

    def _mixtures(self, sums: Tensor, line: Tensor, told: Tensor) -> Tensor:
        """Sums of the first layer (..., width), linear means (...,), numbers from the code (..., told) -> mixtures."""
        mixtures: Tensor = self.rest(sums if self.from_code is None else sums + told @ self.from_code)
        mean, others = mixtures.split([self.components, 2 * self.components], -1)
        return torch.cat([mean + line.unsqueeze(-1), others], -1)

    def mixture(self, params: Tensor) -> DiscretizedLogistic:
        """Levels (1, m, ...) under mixtures (m, 3 * components, ...)."""
        mean, log_scale, logits = params[None].unflatten(2, (3, -1)).unbind(2)
        half = (self.levels - 1) / 2
        # Bounded smoothly: 1/150 to 150 times a scale of a twelfth of half the range.
        scale = half * (-2.5 + 5 * torch.tanh(log_scale / 5)).exp()
        return DiscretizedLogistic(half + half * mean, scale, logits, self.levels)


class LocalLevels(Distribution):
    """Levels of images, each told from those before it.

    Parameters
    ----------
    local : Local
        The network.
    told : Tensor, shape (k, n, told, c, rows, columns)
        What the code says of each level.
    """

    arg_constraints: ClassVar[dict[str, Any]] = {}

    def __init__(self, local: Local, told: Tensor) -> None:
        self.local = local
        self.told = told
        super().__init__(told.shape[:2], told.shape[3:], validate_args=False)

    def log_prob(self, value: Tensor) -> Tensor:
        """Nats of the levels ``value`` (n, x) or (k, n, x), summed over cells: (k, n)."""
        levels = value.expand(*self.batch_shape, *self.event_shape).flatten(0, 1)
        rows = max(1, SUMS_AT_ONCE // (self.local.width * self.event_shape.numel()))
        parts = zip(levels.split(rows), self.told.flatten(0, 1).split(rows), strict=True)
        nats = [self.local.mixture(self.local.everywhere(some, told)).log_prob(some)[0] for some, told in parts]
        return torch.cat(nats).view(self.batch_shape)

    @property
    def mean(self) -> Tensor:
        """Images (k, n, x) in which each level is the mean given those before it."""
        return self.walked(1, lambda level, place: level.mean[0])[0]

    def walked(self, k: int, choose: Callable[[DiscretizedLogistic, tuple[int, int, int]], Tensor]) -> Tensor:
        """Images (k, *batch, x) made level by level, each by ``choose`` from its law given those before it."""
        told = self.told.expand(k, *self.told.shape).flatten(0, 2)
        levels = told.new_zeros(len(told), *self.event_shape)
        canvas, reach = self.local.seen(levels), self.local.reach
        half = (self.local.levels - 1) / 2
        channels, rows, columns = self.event_shape
        for row in range(rows):
            for column in range(columns):
                for channel in range(channels):
                    place = (channel, row, column)
                    law = self.local.mixture(self.local.at(canvas, told, place))
                    level = choose(law, place)
                    levels[:, channel, row, column] = level
                    canvas[:, channel, row + reach, column + reach] = level / half - 1
        return levels.view(k, *self.batch_shape, *self.event_shape)


@draw.register
def _(q: LocalLevels, shape: Sequence[int], rows: int, noise: Noise) -> Tensor:
    cells = (shape[0] * q.batch_shape.numel(), *q.event_shape)
    which, where = (noise.uniform(shape, rows=rows).reshape(cells) for _ in range(2))

    def drawn(law: DiscretizedLogistic, place: tuple[int, int, int]) -> Tensor:
        at = (slice(None), *place)
        below = law.weights[0].cumsum(1)[:, :-1] < which[at].unsqueeze(1)
        picked = below.sum(1, keepdim=True)
        loc, scale = (part[0].gather(1, picked).squeeze(1) for part in (law.loc, law.scale))
        level = loc + scale * torch.logit(where[at].clamp(SMALLEST_UNIFORM, 1 - SMALLEST_UNIFORM))
        return level.round().clamp(0, q.local.levels - 1)

    return q.walked(shape[0], drawn)


def _before(channels: int, reach: int) -> Tensor:
    """1 for what a level may see: (c, 1, c + 1, rows, columns) of its window, for each channel of it."""
    # On the processor even where a model is being built without memory, for no file brings it.
    before = torch.ones(channels, 1, channels + 1, reach + 1, 2 * reach + 1, device="cpu")
    before[:, :, :, reach, reach:] = 0
    for channel in range(channels):
        before[channel, 0, :channel, reach, reach] = 1
    return before
