"""Pixels told from the pixels before them, and from the code."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, ClassVar

import torch
from torch import Tensor, nn
from torch.distributions import Distribution
from torch.nn import functional as F

from narrows.axes import usual_likelihood
from narrows.coding.causal import ACTIVATION, CEILING, window
from narrows.data.schema import Schema
from narrows.errors import at_least, at_most
from narrows.likelihoods.pixels import DiscretizedLogistic, Levels
from narrows.noise import Noise
from narrows.sampling import SMALLEST_UNIFORM, draw
from narrows.tensors import pieces

SUMS_AT_ONCE = 40_000_000  # of large images fewer at once, so that memory does not grow with them
LARGEST = CEILING / 2**ACTIVATION  # hidden unit, as a codec holds it


class Local(Levels, kind="local"):
    """Levels of an image, pixel by pixel: p(x | z) = prod_i p(x_i | pixels before i in its window, z).

    Pixels come row by row, their channels in order. The window has ``reach`` rows above and reaches as many columns to
    either side; of the pixel's own row it has what is to the left, and of the pixel itself the channels before. A small
    fully connected network, the same for all pixels but for a bias by row and by column, gives a mixture of discretised
    logistics for each level (as PixelCNN does with a deep network, Salimans et al. 2017; over a small window,
    Schirrmeister et al. 2020 and Zhang et al. 2021). Its units are held to [0, 4], so that a codec can keep them as
    small whole numbers.

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
    glimpse : int
        Pixels of each image, drawn at random, that training and its validation score, and take for all; 0 for all.
        Few of many images teach more than all of few, which are much alike.
    """

    pace = 4.0
    matrices = True
    sequential = True

    def __init__(
        self,
        reach: int = 5,
        width: int = 256,
        depth: int = 3,
        components: int = 5,
        told: int = 4,
        glimpse: int = 32,
    ) -> None:
        super().__init__()
        at_least("likelihood.reach", reach, 1)
        at_most("likelihood.reach", reach, 32)
        at_least("likelihood.width", width, 1)
        at_least("likelihood.depth", depth, 1)
        at_least("likelihood.components", components, 1)
        at_most("likelihood.components", components, 64)
        at_least("likelihood.told", told, 0)
        at_least("likelihood.glimpse", glimpse, 0)
        self.reach = reach
        self.width = width
        self.depth = depth
        self.components = components
        self.told = told
        self.glimpse = glimpse
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
        self.shape = schema.shape
        windows = [window(channel, self.shape[0], self.reach) for channel in range(self.shape[0])]
        for channel, seen in enumerate(windows):
            self.register_buffer(f"window_{channel}", torch.tensor(seen, device="cpu"), persistent=False)
        self.first = nn.ModuleList(nn.Linear(len(seen), self.width) for seen in windows)
        self.linear = nn.ParameterList(torch.zeros(len(seen)) for seen in windows)
        with torch.no_grad():
            for channel, (layer, line, seen) in enumerate(zip(self.first, self.linear, windows, strict=True)):
                nn.init.normal_(layer.weight, std=(2 / len(seen)) ** 0.5)  # type: ignore[arg-type]
                # The mean begins as that of the neighbours to the left and above: what is learnt is how far it is off.
                line[seen.index((channel, 0, -1))] = line[seen.index((channel, -1, 0))] = 0.5
        self.row_bias = nn.Parameter(torch.zeros(self.shape[0], self.shape[1], self.width))
        self.column_bias = nn.Parameter(torch.zeros(self.shape[0], self.shape[2], self.width))
        self.from_code = nn.Parameter(torch.randn(self.told, self.width) * 0.1) if self.told else None
        self.hidden = nn.ModuleList(nn.Linear(self.width, self.width) for _ in range(self.depth - 1))
        self.last = nn.Linear(self.width, 3 * self.components)
        with torch.no_grad():  # components begin at different levels, or they would stay alike
            self.last.weight *= 0.1
            self.last.bias.zero_()[: self.components] = torch.linspace(-0.1, 0.1, self.components)

    def forward(self, params: Tensor) -> Distribution:
        """Numbers (k, n, told, c, rows, columns) for each level -> p(x | z)."""
        return LocalLevels(self, params)

    def estimated(self, p: Distribution, noise: Noise) -> Distribution:
        """The same law, scored from ``glimpse`` pixels of each image."""
        assert isinstance(p, LocalLevels)
        _, rows, columns = self.shape
        if not 0 < self.glimpse < rows * columns:
            return p
        drawn = noise.uniform((*p.batch_shape, self.glimpse), rows=1)
        return LocalLevels(self, p.told, (drawn.flatten(0, 1) * (rows * columns)).long())

    def seen(self, levels: Tensor) -> Tensor:
        """Levels (m, c, rows, columns) as the network sees them: whole numbers 2 x - L + 1, bordered by zeros."""
        return F.pad(2 * levels - (self.levels - 1), (self.reach, self.reach, self.reach, 0))

    def everywhere(self, levels: Tensor, told: Tensor) -> Tensor:
        """Mixtures (m, 3 * components, c, rows, columns) of all levels, given all those before each."""
        mixtures = self.at(self.seen(levels), told, self.every_place(len(levels), levels.device))
        return mixtures.movedim(-1, 1).unflatten(3, self.shape[1:])

    def every_place(self, images: int, device: torch.device) -> Tensor:
        """All pixels of so many images, (images, rows * columns)."""
        return torch.arange(self.shape[1] * self.shape[2], device=device).expand(images, -1)

    def at(self, canvas: Tensor, told: Tensor, places: Tensor) -> Tensor:
        """Mixtures (m, c, s, 3 * components) at pixels (m, s), rows one after the other, from what `seen` gives."""
        return torch.stack([self.level(canvas, told, places, channel) for channel in range(self.shape[0])], 1)

    def level(self, canvas: Tensor, told: Tensor, places: Tensor, channel: int) -> Tensor:
        """Mixtures (m, s, 3 * components) of one channel at pixels (m, s)."""
        height, width = canvas.shape[2:]
        rows, columns = places // self.shape[2], places % self.shape[2]
        c, r, x = self.get_buffer(f"window_{channel}").unbind(1)
        base = (rows + self.reach) * width + columns + self.reach
        cells = base.unsqueeze(-1) + ((c * height + r) * width + x)
        near = canvas.flatten(1).gather(1, cells.flatten(1)).view(*cells.shape)
        # Whole numbers below 256 and ones are exact in bfloat16, too; the biases come as products, which are fast.
        first, line = self.first[channel], self.linear[channel]
        eyes = [torch.eye(side, device=near.device, dtype=near.dtype) for side in self.shape[1:]]
        inputs = torch.cat([near, eyes[0][rows], eyes[1][columns]], -1)
        scale = 1 / (self.levels - 1)
        weights = [first.weight * scale, self.row_bias[channel].T, self.column_bias[channel].T]  # type: ignore[operator]
        sums = F.linear(inputs, torch.cat(weights, 1), first.bias)  # type: ignore[arg-type]
        if self.from_code is not None:
            numbers = told[:, :, channel].flatten(2).gather(2, places.unsqueeze(1).expand(-1, self.told, -1))
            sums = sums + numbers.transpose(1, 2) @ self.from_code
        h = F.hardtanh(sums, 0, LARGEST)
        for layer in self.hidden:
            h = F.hardtanh(layer(h), 0, LARGEST)
        with torch.autocast(h.device.type, enabled=False):
            mixtures: Tensor = self.last(h.to(near.dtype))
            return torch.cat(
                [
                    mixtures[..., : self.components] + (near @ (line * scale)).unsqueeze(-1),
                    mixtures[..., self.components :],
                ],
                -1,
            )

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
    places : Tensor, shape (k * n, s), optional
        Pixels from which `log_prob` is estimated, without bias.
    """

    arg_constraints: ClassVar[dict[str, Any]] = {}

    def __init__(self, local: Local, told: Tensor, places: Tensor | None = None) -> None:
        self.local = local
        self.told = told
        self.places = places
        super().__init__(told.shape[:2], told.shape[3:], validate_args=False)

    def log_prob(self, value: Tensor) -> Tensor:
        """Nats of the levels ``value`` (n, x) or (k, n, x), summed over cells, or estimated from some: (k, n)."""
        levels = value.expand(*self.batch_shape, *self.event_shape).flatten(0, 1)
        rows = self.images_at_once
        parts = zip(*(pieces(part, rows) for part in (levels, self.told.flatten(0, 1), self.scored)), strict=True)
        return torch.cat([self._nats(*part) for part in parts]).view(self.batch_shape) / self.share

    def _nats(self, levels: Tensor, told: Tensor, places: Tensor) -> Tensor:
        mixtures = self.local.at(self.local.seen(levels), told, places)
        return self.local.mixture(mixtures.movedim(-1, 1)).log_prob(picked(levels, places))[0]

    @property
    def scored(self) -> Tensor:
        """Pixels (k * n, s) that are scored, rows one after the other."""
        if self.places is not None:
            return self.places
        return self.local.every_place(self.batch_shape.numel(), self.told.device)

    @property
    def share(self) -> float:
        """Share of the pixels that is scored."""
        return self.scored.shape[1] / (self.event_shape[1] * self.event_shape[2])

    @property
    def images_at_once(self) -> int:
        """Images whose sums are held side by side."""
        return max(1, SUMS_AT_ONCE // (self.local.width * self.scored.shape[1] * self.event_shape[0]))

    @property
    def mean(self) -> Tensor:
        """Images (k, n, x) in which each level is the mean given those before it."""
        return self.walked(1, lambda level, place: level.mean[0])[0]

    def walked(self, k: int, choose: Callable[[DiscretizedLogistic, tuple[int, int, int]], Tensor]) -> Tensor:
        """Images (k, *batch, x) made level by level, each by ``choose`` from its law given those before it."""
        told = self.told.expand(k, *self.told.shape).flatten(0, 2)
        levels = told.new_zeros(len(told), *self.event_shape)
        canvas, reach, width = self.local.seen(levels), self.local.reach, self.event_shape[2]
        for pixel in range(self.event_shape[1] * width):
            row, column = divmod(pixel, width)
            places = torch.full((len(levels), 1), pixel, device=levels.device)
            for channel in range(self.event_shape[0]):
                place = (channel, row, column)
                law = self.local.mixture(self.local.level(canvas, told, places, channel)[:, 0])
                level = choose(law, place)
                levels[:, channel, row, column] = level
                canvas[:, channel, row + reach, column + reach] = 2 * level - (self.local.levels - 1)
        return levels.view(k, *self.batch_shape, *self.event_shape)


def picked(levels: Tensor, places: Tensor) -> Tensor:
    """Levels (m, c, s) of images (m, c, rows, columns) at pixels (m, s)."""
    return levels.flatten(2).gather(2, places.unsqueeze(1).expand(-1, levels.shape[1], -1))


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
