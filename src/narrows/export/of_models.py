"""The graphs of an autoencoder."""

from __future__ import annotations

import copy
from collections.abc import Callable

import torch
from torch import Tensor, nn

from narrows.data.schema import Schema
from narrows.export.draws import Draws
from narrows.export.graphs import ROWS, Graph, Port, rows_of, users, usual_dtype
from narrows.inference import (
    SCORE_SAMPLES,
    bound_of,
    bounds,
    code_of,
    codes,
    decoded,
    mean_of,
    reconstructed,
)
from narrows.model import Model
from narrows.networks.around import Around
from narrows.restore import fills, mean_of_clean, restored, shown


class Encoder(nn.Module):
    """Raw values -> the code of each row."""

    def __init__(self, model: Model, few: Tensor) -> None:
        super().__init__()
        self.model = model
        self.draws = Draws(lambda noise: code_of(model, few, noise()))

    def forward(self, raw: Tensor) -> Tensor:
        """Encode values in the user's layout."""
        return code_of(self.model, rows_of(self.model.schema, raw), self.draws.again()())


class Decoder(nn.Module):
    """Codes -> the mean of p(x | z), in raw units."""

    def __init__(self, model: Model) -> None:
        super().__init__()
        self.model = model

    def forward(self, code: Tensor) -> Tensor:
        """Decode codes (n, d)."""
        return users(self.model.schema, mean_of(self.model, code))


class Score(nn.Module):
    """Raw values -> the bound on log p(x) of each row, with the draws that the package takes."""

    def __init__(self, model: Model, few: Tensor) -> None:
        super().__init__()
        self.model = model
        self.draws = Draws(lambda noise: bound_of(model, few, SCORE_SAMPLES, noise))

    def forward(self, raw: Tensor) -> Tensor:
        """Score values in the user's layout."""
        rows = rows_of(self.model.schema, raw)
        return bound_of(self.model, rows, SCORE_SAMPLES, self.draws.again())


class Denoise(nn.Module):
    """Images of any size -> the mean of p(clean | seen), in raw units; pixels that are NaN are filled in."""

    def __init__(self, model: Model) -> None:
        super().__init__()
        self.model = model

    def forward(self, raw: Tensor) -> Tensor:
        """Restore images in the user's layout."""
        schema, network = self.model.schema, self.model.network
        assert isinstance(network, Around)
        rows = rows_of(schema, raw)
        if not fills(self.model):
            return users(schema, mean_of_clean(self.model, network, shown(self.model, rows)))
        hidden = rows.isnan()
        seen = shown(self.model, torch.where(hidden, 0.0, rows), hidden)
        return users(schema, torch.where(hidden, mean_of_clean(self.model, network, seen), rows))


def graphs_of_model(model: Model, rows: Tensor) -> list[Graph]:
    """Return the graphs that a trained model has, measured on raw rows (n, *shape).

    A network without a bottleneck has ``denoise``. Others have ``score``, and where there is a code ``encoder``; where
    a decoder tells all cells at once, ``decoder`` and ``reconstruction``.
    """
    schema = model.schema
    model = copy.deepcopy(model).to(usual_dtype(schema)).eval()
    rows = rows.to(usual_dtype(schema))
    if isinstance(model.network, Around):
        return [_denoise(model, model.network, rows)]
    sample = users(schema, rows)
    raw, code = _raw(schema), Port("code", (ROWS, model.latent.size), "mean of q(z | x), or its mode if discrete")
    found, unit = [], _unit(schema)
    if model.latent.size:
        found.append(Graph("encoder", Encoder(model, rows[:2]), raw, code, sample, _on_rows(codes, model)))
    if model.latent.size and not model.likelihood.sequential:
        mean = Port("mean", raw.shape, "mean of p(x | code), in the units of the data")
        decoder, encoder = Decoder(model), Encoder(model, rows[:2])
        made = codes(model, rows)
        found.append(Graph("decoder", decoder, code, mean, made, lambda z: users(schema, decoded(model, z)), 1, unit))
        through, own = nn.Sequential(encoder, decoder), _on_rows(reconstructed, model)
        found.append(Graph("reconstruction", through, raw, mean, sample, lambda x: users(schema, own(x)), 1, unit))
    score = Port("score", (ROWS,), f"{'lower bound on ' if model.latent.bounds else ''}log p(x), in nats")
    return [*found, Graph("score", Score(model, rows[:2]), raw, score, sample, _on_rows(bounds, model))]


def _on_rows(function: Callable[[Model, Tensor], Tensor], model: Model) -> Callable[[Tensor], Tensor]:
    """Let a function of a model and rows take values in the user's layout."""
    return lambda values: function(model, rows_of(model.schema, values))


def _raw(schema: Schema) -> Port:
    return Port("raw", (ROWS, *schema.user_shape), "values in the units of the data")


def _unit(schema: Schema) -> float:
    """Range of the values of images; 1 for rows, whose cells have each their own."""
    return schema.high - schema.low if schema.is_image and schema.levels else 1.0


def _denoise(model: Model, network: Around, rows: Tensor) -> Graph:
    schema, grain = model.schema, network.grain
    sides = {"hw": ("height", "width"), "hwc": ("height", "width", schema.shape[0])}
    free = sides.get(schema.layout, (schema.shape[0], "height", "width"))
    filled = ", NaN where a pixel is to be filled in" if fills(model) else ""
    raw = Port("raw", (ROWS, *free), f"noisy values in the units of the data{filled}")
    mean = Port("mean", (ROWS, *free), "mean of p(clean | seen), in the units of the data")
    height, width = (-side % grain for side in rows.shape[2:])
    whole = nn.functional.pad(rows, (0, width, 0, height), mode="replicate")

    def own(values: Tensor) -> Tensor:
        noisy = rows_of(schema, values)
        hidden = noisy.isnan() if fills(model) else None
        return users(schema, restored(model, noisy if hidden is None else noisy.nan_to_num(0.0), hidden=hidden))

    return Graph("denoise", Denoise(model), raw, mean, users(schema, whole), own, grain, _unit(schema))
