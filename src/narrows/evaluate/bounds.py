"""The two parts of the evidence lower bound, rate and distortion, and the rate unit by unit."""

from __future__ import annotations

import torch
from torch import Tensor

from narrows.distributions import divergence_by_unit
from narrows.inference import clean_input
from narrows.model import Model
from narrows.noise import Noise

ROWS_AT_ONCE = 250


def distortion_and_rate(model: Model, values: Tensor, seed: int) -> tuple[Tensor, Tensor]:
    """-log p(x | z) in nats of the raw data, and KL or price, each (n,), with one draw of the clean input's code."""
    noise = Noise(seed, model.device)
    parts = []
    with torch.inference_mode():
        for raw in values.split(ROWS_AT_ONCE):
            terms = model.terms(model.batch(raw.to(model.device), noise), 1, noise)
            parts.append(torch.stack([-terms.log_px[0], terms.kl.mean(0).expand(len(raw))]).cpu())
    distortion, rate = torch.cat(parts, 1)
    return distortion - model.transform.log_dets(values), rate


def kl_by_unit(model: Model, values: Tensor) -> list[float] | None:
    """Mean KL(q || p) of each unit over raw rows, in nats; None where it does not split over units."""
    if not model.latent.random:
        return None
    total: Tensor | None = None
    with torch.inference_mode():
        for raw in values.split(ROWS_AT_ONCE):
            q = model.posterior(clean_input(model, raw.to(model.device)))
            by_unit = divergence_by_unit(q, model.prior(len(raw)))
            if by_unit is None:
                return None
            total = by_unit.double().sum(0) + (0 if total is None else total)
    assert total is not None
    return [float(nats) for nats in total / len(values)]
