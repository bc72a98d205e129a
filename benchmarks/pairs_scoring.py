"""Pairs of a model put to use in memory: rows scored, embedded, filled and restored, and new ones made."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import torch
from torch import nn

from binary_images import images
from pairs import Pair, adapted, decoded, taking, untrained

SCORED = 20_000
FEW = 200
CODES = 5_000


def score() -> Pair:
    """Rows scored by the default detector, beside scikit-learn's isolation forest."""
    from sklearn.ensemble import IsolationForest

    from detection_speed import made
    from narrows import AnomalyDetector

    rows, tested, _ = made(SCORED)
    detector, forest = AnomalyDetector(random_state=0).fit(rows), IsolationForest(random_state=0).fit(rows)
    ours = taking(len(tested), lambda: detector.score_samples(tested))
    return Pair(ours, taking(len(tested), lambda: forest.score_samples(tested)))


def embed() -> Pair:
    """Codes of rows, beside the encoder called by itself."""
    from narrows import Autoencoder

    rows = np.random.default_rng(0).standard_normal((SCORED, 64)).astype(np.float32)
    fitted = Autoencoder("variational", code_size=8, epochs=1, random_state=0).fit(rows)
    network, tensor = fitted.fitted_.model.network, torch.from_numpy(rows)
    alone = torch.inference_mode()(lambda: network.encode(tensor))
    return Pair(taking(SCORED, lambda: fitted.transform(rows)), taking(SCORED, alone))


def likelihood() -> Pair:
    """Importance-sampled log p(x) by 50 draws, beside the decoder alone on so many codes."""
    from narrows.evaluate import log_likelihood

    model, rows = untrained("variational", images(FEW), "network=mlp")
    z = torch.randn(50 * FEW, model.latent.size)
    ours = taking(FEW, lambda: log_likelihood(model, rows, 50, 0))
    return Pair(ours, lambda: decoded(model, z, FEW))


def generate() -> Pair:
    """New images, beside the decoder alone on so many codes."""
    from narrows.inference import samples

    model, _ = untrained("variational", images(FEW), "network=mlp")
    z = torch.randn(CODES, model.latent.size)
    return Pair(taking(CODES, lambda: samples(model, CODES, 0)), lambda: decoded(model, z, CODES))


def impute() -> Pair:
    """Gaps of a mixed table filled by 10 draws a row, beside the decoder alone on so many codes."""
    from narrows.data.specimens import examples
    from narrows.inference import imputed

    mixed = examples()[-1]
    rows = mixed.values.tile(200, 1)
    model = adapted("variational", mixed.schema, rows)
    z = torch.randn(10 * len(rows), model.latent.size)
    ours = taking(len(rows), lambda: imputed(model, rows, draws=10))
    return Pair(ours, lambda: decoded(model, z, len(rows)))


def denoise() -> Pair:
    """An image restored by a network without a bottleneck, beside ten plain convolutions over it."""
    from narrows.restore import restored

    numbers = np.random.default_rng(0)
    model, _ = untrained("denoiser", numbers.integers(0, 256, (20, 32, 32), dtype=np.uint8), "network=shallow")
    noisy = torch.from_numpy(numbers.integers(0, 256, (1, 1, 256, 256))).float()
    between = (nn.Conv2d(32, 32, 3, padding=1) for _ in range(8))
    plain = nn.Sequential(nn.Conv2d(1, 32, 3, padding=1), *between, nn.Conv2d(32, 1, 3))
    return Pair(taking(1, lambda: restored(model, noisy)), taking(1, torch.inference_mode()(lambda: plain(noisy))))


PAIRS: dict[str, Callable[[], Pair]] = {
    "score": score,
    "embed": embed,
    "likelihood": likelihood,
    "generate": generate,
    "impute": impute,
    "denoise": denoise,
}
