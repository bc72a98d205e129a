"""Pairs of a model put to use in memory: rows scored, embedded, filled and restored, and new ones made."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import torch
from torch import nn

from binary_images import images
from contenders import narrows_run
from pairs import Pair, adapted, decoded, fitted_detector, mlp, taking, untrained
from sparse_speed import CELLS

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


def score_fast() -> Pair:
    """Rows scored by the fast detector, beside the products of matrices of its network alone."""
    from detection_speed import made

    rows, tested, _ = made(SCORED)
    fitted, tensor = fitted_detector("detector-fast", rows[:1_000]), torch.from_numpy(tested).tile(5, 1)
    weights = [torch.randn(shape) for shape in ((30, 48), (48, 32), (32, 48), (48, 60))]

    def products() -> None:
        h = tensor
        for weight in weights:
            h = h @ weight

    ours = taking(len(tensor), lambda: fitted.detector.scores(tensor))
    return Pair(ours, taking(len(tensor), products))


def explain() -> Pair:
    """The share of each column in the score of rows, beside the scores alone."""
    from detection_speed import made

    rows, tested, _ = made(2_000)
    detector, tensor = fitted_detector("detector", rows).detector, torch.from_numpy(tested)
    ours = taking(len(tensor), lambda: detector.contributions(tensor))
    return Pair(ours, taking(len(tensor), lambda: detector.scores(tensor)))


def embed() -> Pair:
    """Codes of rows, beside the encoder called by itself."""
    from narrows import Autoencoder

    rows = np.random.default_rng(0).standard_normal((SCORED, 64)).astype(np.float32)
    fitted = Autoencoder("variational", code_size=8, epochs=1, random_state=0).fit(rows)
    network, tensor = fitted.fitted_.model.network, torch.from_numpy(rows)
    alone = torch.inference_mode()(lambda: network.encode(tensor))
    return Pair(taking(SCORED, lambda: fitted.transform(rows)), taking(SCORED, alone))


def embed_sparse() -> Pair:
    """Codes of a dictionary as the numbers that are not 0, beside one product of matrices and its largest numbers."""
    from narrows.inference import sparse_codes

    data = np.random.default_rng(0).standard_normal((CODES, CELLS), np.float32)
    rows, run = torch.from_numpy(data), narrows_run(data, CODES, "sparse-features", ())
    run.update(rows)  # from its first step on a dictionary keeps what is above a threshold
    model, atoms, kept = run.model, torch.randn(CELLS, run.model.latent.size), run.model.latent.kept
    ours = taking(CODES, lambda: sparse_codes(model, rows))
    return Pair(ours, taking(CODES, lambda: (rows @ atoms).topk(kept, 1)))


def embed_map() -> Pair:
    """Places of rows on a map, beside a plain network of as many layers."""
    from narrows.inference import codes

    data = np.random.default_rng(0).standard_normal((SCORED, 64)).astype(np.float32)
    model, rows = untrained("map", data)
    layers = mlp(64, 256, 256, 256, 256, 256, 2)
    alone = torch.inference_mode()(lambda: layers(rows))
    return Pair(taking(SCORED, lambda: codes(model, rows)), taking(SCORED, alone))


def validate() -> Pair:
    """The figures of held-out rows, beside the network on them alone."""
    from narrows.train import held_out

    model, rows = untrained("variational", images(CODES), "network=mlp")
    layers, seen = mlp(784, 512, 16, 512, 784), rows.flatten(1).float()
    alone = torch.inference_mode()(lambda: layers(seen))
    return Pair(taking(CODES, lambda: held_out(model, rows)), taking(CODES, alone))


def evaluate() -> Pair:
    """All figures of `narrows evaluate`, beside the network on the rows alone."""
    from narrows.evaluate import evaluate
    from narrows.persist import Fitted

    model, rows = untrained("variational", images(1_000), "network=mlp")
    fitted, layers, seen = Fitted(model, "variational"), mlp(784, 512, 16, 512, 784), rows.flatten(1).float()
    alone = torch.inference_mode()(lambda: layers(seen))
    return Pair(taking(len(rows), lambda: evaluate(fitted, rows)), taking(len(rows), alone))


def likelihood() -> Pair:
    """Importance-sampled log p(x) by 50 draws, beside the decoder alone on so many codes."""
    from narrows.evaluate import log_likelihood

    model, rows = untrained("variational", images(FEW), "network=mlp")
    z = torch.randn(50 * FEW, model.latent.size)
    ours = taking(FEW, lambda: log_likelihood(model, rows, 50, 0))
    return Pair(ours, lambda: decoded(model, z, FEW))


def anneal() -> Pair:
    """Log p(x) by annealing, 10 steps of 16 chains, beside the decoder alone with its slope at so many codes."""
    from narrows.evaluate.annealing import CHAINS, PILOT_CHAINS, annealed
    from narrows.evaluate.hamiltonian import LEAPFROGS

    model, rows = untrained("variational", images(10), "network=mlp", "network.width=64")
    steps, decoder = 10, mlp(16, 64, 784)
    z = torch.randn((CHAINS + PILOT_CHAINS) * len(rows), 16, requires_grad=True)

    def slopes() -> None:
        for _ in range(steps * LEAPFROGS):
            torch.autograd.grad(decoder(z).sum(), z)

    return Pair(taking(len(rows), lambda: annealed(model, rows, steps)), taking(len(rows), slopes))


def generate() -> Pair:
    """New images, beside the decoder alone on so many codes."""
    from narrows.inference import samples

    model, _ = untrained("variational", images(FEW), "network=mlp")
    z = torch.randn(CODES, model.latent.size)
    return Pair(taking(CODES, lambda: samples(model, CODES, 0)), lambda: decoded(model, z, CODES))


def measure_samples() -> Pair:
    """New images made and set beside others, beside a support vector machine that learns to tell such apart."""
    from sklearn.svm import SVC

    from narrows.evaluate.sampled import figures_of_samples

    model, rows = untrained("variational", images(FEW), "network=mlp")
    features, sides = np.random.default_rng(0).standard_normal((10 * FEW, 64)), np.repeat([0, 1], 5 * FEW)
    told_apart = SVC()
    ours = taking(FEW, lambda: figures_of_samples(model, rows, FEW, None, 0))
    return Pair(ours, taking(5 * FEW, lambda: told_apart.fit(features, sides)))


def fit_prior() -> Pair:
    """Mixtures of two kinds fitted to the codes of rows, beside scikit-learn's of these kinds to as many codes."""
    from sklearn.mixture import GaussianMixture

    from narrows.generation import fit_prior
    from narrows.persist import Fitted

    rows_of, parts = 500, 10
    model, rows = untrained("variational", images(rows_of), "network=mlp")
    fitted, codes = Fitted(model, "variational"), np.random.default_rng(0).standard_normal((9 * rows_of, 16))
    mixtures = [GaussianMixture(parts, covariance_type=kind, random_state=0) for kind in ("diag", "full")]
    ours = taking(rows_of, lambda: fit_prior(fitted, rows, components=parts))
    return Pair(ours, taking(rows_of, lambda: [mixture.fit(codes) for mixture in mixtures]))


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
    "score-fast": score_fast,
    "explain": explain,
    "embed": embed,
    "embed-sparse": embed_sparse,
    "embed-map": embed_map,
    "validate": validate,
    "evaluate": evaluate,
    "likelihood": likelihood,
    "anneal": anneal,
    "generate": generate,
    "measure-samples": measure_samples,
    "fit-prior": fit_prior,
    "impute": impute,
    "denoise": denoise,
}
