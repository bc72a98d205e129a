"""The fitted map from raw values to what the likelihood scores and the encoder sees, and back."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable

import torch
from torch import Tensor, nn

from narrows.data.mixed import MixedTransform
from narrows.data.moments import CONSTANT_BELOW, merge
from narrows.data.schema import Schema
from narrows.noise import Noise
from narrows.plan import Binarize
from narrows.values import Batch, Scale

ROWS_AT_ONCE = 500


def transform_for(schema: Schema, *, grid: bool, binarize: Binarize = "none") -> Transform | MixedTransform:
    """Make the transform for such data and a likelihood that scores indices on the grid, or not."""
    return Transform(schema, grid=grid, binarize=binarize) if schema.columns is None else MixedTransform(schema)


class Transform(nn.Module):
    """Two affine maps: raw -> target x -> standardised input ``seen``.

    For a likelihood on the grid, x is the index of the value, ``(raw - low) / step``. For one on the reals, x is
    standardised: per channel for images, per column for vectors. What the encoder sees is always standardised; columns
    on one grid share a scale. The
    statistics may run along with a stream (Chan et al. 1979), so that online training needs no pass beforehand.

    Parameters
    ----------
    schema : Schema
        Of the raw data, all cells of one kind.
    grid : bool
        Whether the likelihood scores indices on the grid.
    binarize : {"none", "threshold", "draw"}
        Make the values binary first: above the middle of the range, or by a draw with the grey value as probability
        (anew each time it is seen in training).
    """

    count: Tensor
    mean: Tensor
    squares: Tensor
    shift: Tensor
    scale: Tensor
    gain: Tensor
    offset: Tensor
    gains: Tensor
    offsets: Tensor
    unit: Tensor
    low: Tensor
    high: Tensor

    def __init__(self, schema: Schema, *, grid: bool, binarize: Binarize = "none") -> None:
        super().__init__()
        self.schema = schema
        self.grid = grid
        self.binarize = binarize
        one_unit = grid or schema.is_image
        self.stat_shape = (schema.shape[0], 1, 1) if schema.is_image else (1,) if one_unit else schema.shape
        self.register_buffer("count", torch.zeros((), dtype=torch.float64))
        self.register_buffer("mean", torch.zeros(self.stat_shape, dtype=torch.float64))
        self.register_buffer("squares", torch.zeros(self.stat_shape, dtype=torch.float64))
        self.register_buffer("shift", torch.zeros(self.stat_shape))
        self.register_buffer("scale", torch.ones(self.stat_shape))
        # What standardising multiplies by and adds, kept beside shift and scale for speed.
        self.register_buffer("gain", torch.ones(self.stat_shape), persistent=False)
        self.register_buffer("offset", torch.zeros(self.stat_shape), persistent=False)
        # The same for each cell of a whole example: four times as fast as one number that is met by each.
        self.register_buffer("gains", torch.ones(schema.shape), persistent=False)
        self.register_buffer("offsets", torch.zeros(schema.shape), persistent=False)
        # One unit of the raw data, its lowest value and its highest, in what is seen.
        for name in ("unit", "low", "high"):
            self.register_buffer(name, torch.zeros(self.stat_shape), persistent=False)
        self.register_load_state_dict_post_hook(_prepare)

    @property
    def modelled(self) -> Schema:
        """The schema of what the likelihood scores: that of the raw data, or the binary one after binarising."""
        if self.binarize == "none":
            return self.schema
        return dataclasses.replace(self.schema, low=0.0, high=1.0, step=1.0)

    @property
    def seen_shape(self) -> tuple[int, ...]:
        """Shape of one example as the encoder sees it."""
        return self.schema.shape

    def fit(self, values: Tensor | Iterable[Tensor]) -> None:
        """Take the statistics of all rows (n, x), given as one tensor or in chunks, and forget earlier ones."""
        self.count.zero_()
        self.mean.zero_()
        self.squares.zero_()
        for rows in values.split(ROWS_AT_ONCE) if isinstance(values, Tensor) else values:
            self.update(rows)

    @torch.no_grad()
    def update(self, rows: Tensor) -> None:
        """Add rows (n, x) to the running statistics."""
        x = rows.double() if self._as_given else self._on_grid(rows, None).double()
        x = x.transpose(0, 1).flatten(1) if self.schema.is_image else x.flatten().unsqueeze(0) if self.grid else x.T
        mean = x.mean(1)
        squares = (x - mean[:, None]).square().sum(1)
        merge(self, float(x.shape[1]), mean.view(self.stat_shape), squares.view(self.stat_shape))
        spread = (self.squares / self.count).sqrt()
        self.shift.copy_(self.mean)
        moves = spread > CONSTANT_BELOW * self.mean.abs()
        # What never moved here may move later: measure it by the typical spread of the others, whatever the unit is.
        typical = spread[moves].square().mean().sqrt() if bool(moves.any()) else spread.new_ones(())
        self.scale.copy_(torch.where(moves, spread, typical))
        _prepare(self)

    def forward(self, raw: Tensor, noise: Noise | None = None) -> Batch:
        """Raw rows (n, x) -> target and clean input; ``noise`` is needed where values are binarised by a draw."""
        if self.grid:
            x = self._on_grid(raw, noise)
            # One pass over the values; indices on a grid are small enough for the products to be exact enough.
            usual = self.training and x.shape[1:] == self.gains.shape
            offset, gain = (self.offsets, self.gains) if usual else (self.offset, self.gain)
            return Batch(x, torch.addcmul(offset, x, gain), scale=Scale(self.unit, self.low, self.high))
        value = raw.to(self.scale.dtype) if self._as_given else self._on_grid(raw, noise)
        x = (value - self.shift) / self.scale
        return Batch(x, x, scale=Scale(self.unit, self.low, self.high))

    def inverse(self, x: Tensor) -> Tensor:
        """Target unit -> raw unit, for example for the mean of p(x | z)."""
        if not self.grid:
            x = x * self.scale + self.shift
        if self._as_given:
            return x
        low, high = self.schema.low, self.schema.high
        return low + x * (self.schema.step if self.binarize == "none" else high - low)

    def comparable(self, x: Tensor) -> Tensor:
        """Target unit -> the unit of reported errors: [0, 1] over a finite range, else standard deviations."""
        schema = self.modelled
        if schema.levels:
            low, high = self.schema.low, self.schema.high
            return x / (schema.levels - 1) if self.grid else (self.inverse(x) - low) / (high - low)
        return (x - self.shift) / self.scale if self.grid else x

    def uncompared(self, values: Tensor) -> Tensor:
        """The inverse of `comparable`, into raw units."""
        schema = self.modelled
        if schema.levels:
            return self.schema.low + values * (self.schema.high - self.schema.low)
        return self.inverse(values * self.scale + self.shift if self.grid else values)

    def squared_errors(self, x: Tensor, rebuilt: Tensor) -> Tensor:
        """Squared errors of cells (n, cells) between two rows in the target unit, in the unit of reported errors."""
        return (self.comparable(x) - self.comparable(rebuilt)).square().flatten(1)

    @property
    def _as_given(self) -> bool:
        return not self.grid and self.binarize == "none"

    @property
    def error_unit(self) -> str:
        """Name the unit of `comparable` for a person."""
        if self.modelled.levels:
            return "values scaled to [0, 1]"
        return "units of the data's standard deviation"

    @property
    def log_det(self) -> float:
        """ln |dx / draw| in nats per example: add it to log p(x) for the log density of raw data."""
        return float(self.log_dets())

    def log_dets(self, raw: Tensor | None = None) -> Tensor:
        """`log_det` of each raw row (n, x), shape (): one figure, for every cell is observed."""
        logs = self.scale.double().log().expand(self.schema.shape)
        # On the processor, whose single numbers any device takes.
        return (logs.new_zeros(()) if self.grid else -logs.sum()).cpu()

    @property
    def resolution(self) -> float:
        """Distance between neighbouring raw values in the unit of x; 0 for continuous data."""
        return 0.0 if self.grid else self.modelled.step / float(self.scale.mean())

    def _on_grid(self, raw: Tensor, noise: Noise | None) -> Tensor:
        """Index on the grid; binarised where that was asked for."""
        schema = self.schema
        dtype = self.scale.dtype
        if self.binarize == "none":
            x = raw.to(dtype)
            x = x - schema.low if schema.low else x
            return x / schema.step if schema.step != 1 else x
        share = (raw.to(dtype) - schema.low) / (schema.high - schema.low)
        if self.binarize == "draw" and noise is not None:
            return (noise.uniform(share.shape, rows=0) < share).to(dtype)
        return (share > 0.5).to(dtype)


def _prepare(transform: Transform, loaded: object = None) -> None:
    """Bring what follows from shift and scale up to them; the second argument is what torch tells after loading."""
    transform.gain = 1 / transform.scale
    transform.offset = -transform.shift / transform.scale
    transform.gains = transform.gain.expand(transform.schema.shape).contiguous()
    transform.offsets = transform.offset.expand(transform.schema.shape).contiguous()
    schema, as_given = transform.schema, transform._as_given
    span = schema.high - schema.low
    transform.unit = transform.gain / (1.0 if as_given else schema.step if transform.binarize == "none" else span)
    transform.low = transform.offset + transform.gain * (schema.low if as_given else 0.0)
    transform.high = transform.low + transform.unit * span
