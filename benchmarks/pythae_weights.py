"""The weights of pythae's VAE and IWAE, scored by our evaluator and by theirs, and where the difference comes from.

Both are trained by pythae's own trainer on binary MNIST. Their weights go into a model of ours with the same layers,
and both score the same test images. Each part of the difference is then measured by itself:

- the sign: ``get_nll`` returns the mean of log p(x), not of its negative;
- the draws: it takes the draws asked for only where they are a multiple of its batch of 100, else 100 or fewer than
  asked for, and the fewer the draws the lower the bound, so what it says hangs on a number that was not asked for;
- the noise: its draws come from torch's global generator, so two calls differ;
- the precision: the log of a sigmoid in float32, cut at -100, where ours takes logits;
- the data: it scores grey images by the cross-entropy as well, which is no likelihood of them; ours refuses;
- the loss of its IWAE, which is not the bound but what has the bound's gradient.

    NARROWS_DATA=... python benchmarks/pythae_weights.py

needs ``pip install pythae`` beside narrows.
"""

from __future__ import annotations

import argparse
import logging
import math
import tempfile
import time
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.distributions import Distribution
from torch.nn import functional as F

from narrows.data import Schema, infer_schema, read
from narrows.distributions import DiagonalNormal
from narrows.errors import InputError
from narrows.evaluate import Weighed, log_likelihood
from narrows.latents import Gaussian
from narrows.model import Model
from narrows.noise import Noise
from narrows.presets import choose
from narrows.sampling import sample
from record import record

CODE = 16
IWAE_DRAWS = 5
BATCH = 100
DRAWS = 5000
ASKED = (1, 50, 100, 150, 250, 1000)
SEEDS = (0, 1, 2)
SAME_CODES = 100


class LogVariance(Gaussian, kind="log-variance"):
    """Gaussian codes whose encoder gives the log of the variance, as pythae's does."""

    def posterior(self, h: Tensor) -> Distribution:
        mean, log_variance = h.chunk(2, dim=1)
        return DiagonalNormal(mean, (0.5 * log_variance).exp())


def trained(name: str, images: np.ndarray, epochs: int) -> Any:
    """Train one of pythae's models on binary images (n, 28, 28) by its own trainer."""
    from pythae.models import IWAE, VAE, IWAEConfig, VAEConfig
    from pythae.pipelines import TrainingPipeline
    from pythae.trainers import BaseTrainerConfig

    logging.disable(logging.INFO)
    torch.manual_seed(0)
    shared: dict[str, Any] = {"input_dim": (1, 28, 28), "latent_dim": CODE, "reconstruction_loss": "bce"}
    models = {
        "vae": lambda: VAE(VAEConfig(**shared)),
        "iwae": lambda: IWAE(IWAEConfig(**shared, number_samples=IWAE_DRAWS)),
    }
    model = models[name]()
    with tempfile.TemporaryDirectory() as folder:
        plan = BaseTrainerConfig(
            output_dir=folder, num_epochs=epochs, per_device_train_batch_size=BATCH, learning_rate=1e-3, no_cuda=True
        )
        TrainingPipeline(model=model, training_config=plan)(images[:, None].astype(np.float32))
    return model.eval()


def ours_of(theirs: Any, schema: Schema) -> Model:
    """Put the weights into a model of ours with the same layers; pixels stay 0 and 1, as theirs are."""
    settings = ["network=mlp", "network.width=512", "network.depth=1", f"latent.size={CODE}", "likelihood=bernoulli"]
    recipe = choose("variational", schema, [*settings, "latent=log-variance"])
    model = Model(recipe, schema).eval()
    encoder, decoder = theirs.encoder, theirs.decoder
    pairs = {
        model.network.encoder[0]: [encoder.layers[0][0]],
        model.network.encoder[2]: [encoder.embedding, encoder.log_var],
        model.network.decoder[0]: [decoder.layers[0][0]],
        model.network.decoder[2]: [decoder.layers[1][0]],
    }
    with torch.no_grad():
        for own, given in pairs.items():
            own.weight.copy_(torch.cat([layer.weight for layer in given]))
            own.bias.copy_(torch.cat([layer.bias for layer in given]))
    return model


def draws_taken(theirs: Any, images: Tensor, asked: int) -> tuple[float, int]:
    """What ``get_nll`` returns, and how many codes it decoded for an image."""
    decoded = []
    handle = theirs.decoder.register_forward_pre_hook(lambda _, given: decoded.append(len(given[0])))
    with torch.no_grad():
        told = float(theirs.get_nll(images, n_samples=asked, batch_size=BATCH))
    handle.remove()
    return told, sum(decoded) // len(images)


def by_seed(model: Model, values: Tensor, draws: int) -> list[Weighed]:
    return [log_likelihood(model, values, draws, seed) for seed in SEEDS]


def cross_entropies(theirs: Any, model: Model, values: Tensor) -> dict[str, float]:
    """log p(x | z) of the same codes, by theirs and by ours: the difference that the precision makes, in nats."""
    with torch.no_grad():
        batch = model.batch(values, Noise(0))
        z = sample(model.posterior(batch.seen), SAME_CODES, Noise(0))
        own = model.decode(z).log_prob(batch.x)
        means = theirs.decoder(z.flatten(0, 1))["reconstruction"].view(SAME_CODES, len(values), -1)
        other = -F.binary_cross_entropy(means, batch.x.flatten(1).expand_as(means), reduction="none").sum(-1)
    apart = (other - own).double()
    return {"mean": float(apart.mean()), "largest": float(apart.abs().max())}


def surrogate_and_bound(theirs: Any, images: Tensor) -> dict[str, float]:
    """The loss that pythae's IWAE reports, and minus the bound that it stands for, from the same weights."""
    kept: list[Tensor] = []
    gauss = theirs._sample_gauss

    def keeping(mean: Tensor, deviation: Tensor) -> tuple[Tensor, Tensor]:
        kept.extend([mean, deviation, *gauss(mean, deviation)])
        return kept[-2], kept[-1]

    theirs._sample_gauss = keeping
    torch.manual_seed(0)
    with torch.no_grad():
        loss = float(theirs({"data": images}).loss)
        mean, deviation, z, _ = kept
        means = theirs.decoder(z.flatten(0, 1))["reconstruction"].view(*z.shape[:2], -1)
        targets = images.flatten(1)[:, None].expand_as(means)
        log_px = -F.binary_cross_entropy(means, targets, reduction="none").sum(-1)
        log_q = -0.5 * ((z - mean) / deviation).square().sum(-1) - deviation.log().sum(-1)
        log_w = log_px - 0.5 * z.square().sum(-1) - log_q
        bound = (log_w.logsumexp(1) - math.log(IWAE_DRAWS)).mean()
    theirs._sample_gauss = gauss
    return {"loss": loss, "minus_bound": -float(bound)}


def refusal(grey: np.ndarray) -> str:
    """What ours says to grey images under the cross-entropy."""
    schema = infer_schema(grey)
    try:
        Model(choose("variational", schema, ["network=mlp", "likelihood=bernoulli"]), schema)
    except InputError as error:
        return str(error)
    raise SystemExit("grey images were taken by likelihood=bernoulli")


def compare(theirs: Any, many: np.ndarray, grey: np.ndarray) -> dict[str, Any]:
    """Score many test images by ours, and the first of them, which are there in grey too, by both."""
    schema, test = infer_schema(many), many[: len(grey)]
    model, values = ours_of(theirs, schema), torch.from_numpy(schema.from_user(test))
    reproduced = by_seed(model, torch.from_numpy(schema.from_user(many)), DRAWS)
    images = torch.from_numpy(test[:, None].astype(np.float32))
    own = by_seed(model, values, DRAWS)
    torch.manual_seed(0)
    told, taken = draws_taken(theirs, images, DRAWS)
    means = [one.mean for one in reproduced]
    figures: dict[str, Any] = {
        "reproduced": {
            "images": len(many),
            "ours_nats_by_seed": means,
            "ours_spread_over_seeds_nats": max(means) - min(means),
            "ours_draws_error_nats": reproduced[0].draws_error,
        },
        "ours_nats_by_seed": [one.mean for one in own],
        "ours_draws_error_nats": own[0].draws_error,
        "ours_bias_nats": own[0].bias,
        "ours_effective_draws": float(own[0].effective.mean()),
        "theirs_nats": told,
        "theirs_draws_taken": taken,
        "theirs_less_ours_nats": told - own[0].mean,
        "difference_in_errors_of_both": (told - own[0].mean) / (math.sqrt(2) * own[0].draws_error),
        "cross_entropy_theirs_less_ours_nats": cross_entropies(theirs, model, values),
        "by_draws_asked": [],
        "theirs_on_grey_images": draws_taken(theirs, torch.from_numpy(grey[:, None].astype(np.float32) / 255), 100)[0],
    }
    for asked in ASKED:
        calls = [draws_taken(theirs, images, asked) for _ in SEEDS]
        same = by_seed(model, values, calls[0][1])
        figures["by_draws_asked"].append(
            {
                "asked": asked,
                "taken": calls[0][1],
                "theirs_nats": [told for told, _ in calls],
                "ours_with_draws_asked_nats": [one.mean for one in by_seed(model, values, asked)],
                "ours_with_draws_taken_nats": [one.mean for one in same],
            }
        )
    return figures


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--images", type=int, default=20_000)
    parser.add_argument("--epochs", type=int, default=5)
    parser.add_argument("--test", type=int, default=100, help="images that both score")
    parser.add_argument("--many", type=int, default=2000, help="images that ours scores with every seed")
    options = parser.parse_args()
    began = time.perf_counter()
    training = read("mnist").values[: options.images, 0] > 127
    test = read("mnist:test").values[:, 0]
    grey, many = np.ascontiguousarray(test[: options.test]), (test[: options.many] > 127).astype(np.uint8)
    figures: dict[str, Any] = {"refusal_of_grey_images": refusal(grey)}
    for name in ("vae", "iwae"):
        theirs = trained(name, training, options.epochs)
        figures[name] = compare(theirs, many, grey)
        print(name, figures[name], flush=True)
    binary = torch.from_numpy((grey > 127)[:, None].astype(np.float32))
    figures["iwae"]["loss_and_bound_nats"] = surrogate_and_bound(theirs, binary)
    protocol = (
        f"pythae's VAE and IWAE-{IWAE_DRAWS}, {CODE} codes, its own networks and trainer, {options.epochs} epochs of "
        f"{options.images} MNIST images made binary at half the range; {options.test} test images by both, "
        f"{options.many} by ours with three seeds; log p(x) in nats an image with {DRAWS} draws; errors are those of "
        f"the draws"
    )
    print(record("pythae_weights", figures, seconds=time.perf_counter() - began, protocol=protocol).read_text())


if __name__ == "__main__":
    main()
