"""Train pythae's VAE for so many minutes and write what each of its samplers makes; `generate.py` runs this.

It needs pythae, torch and NumPy, and nothing of narrows, so that it may run in an environment of its own.

    python pythae_samples.py IMAGES.npy FOLDER --network mlp --loss bce --code 16 --minutes 10 --seed 0 --samples 10000

``IMAGES`` are uint8 (n, 28, 28). For each sampler it writes ``FOLDER/<sampler>.npy``, uint8 as well, and what it took
in ``FOLDER/told.json``.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import logging
import tempfile
import time
from pathlib import Path
from typing import Any

import numpy as np
import torch
from pythae.data.datasets import BaseDataset
from pythae.models import VAE, VAEConfig
from pythae.models.nn.benchmarks.mnist import Decoder_Conv_AE_MNIST, Encoder_Conv_VAE_MNIST
from pythae.samplers import (
    GaussianMixtureSampler,
    GaussianMixtureSamplerConfig,
    MAFSampler,
    MAFSamplerConfig,
    NormalSampler,
    TwoStageVAESampler,
    TwoStageVAESamplerConfig,
)
from pythae.trainers import BaseTrainer, BaseTrainerConfig
from pythae.trainers.training_callbacks import TrainingCallback

BATCH = 256
RATE = 1e-3
SECOND_STAGE = {"num_epochs": 20, "per_device_train_batch_size": 500, "learning_rate": 1e-3, "no_cuda": True}


class TimeIsUp(Exception):
    """Ends a training."""


class Clock(TrainingCallback):
    """Stop training by the clock, whatever the epoch."""

    def __init__(self, minutes: float) -> None:
        self.ends = time.perf_counter() + 60 * minutes
        self.steps = 0

    def on_train_step_end(self, *_: Any, **__: Any) -> None:
        self.steps += 1
        if time.perf_counter() >= self.ends:
            raise TimeIsUp


def trained(images: torch.Tensor, options: argparse.Namespace) -> tuple[VAE, int]:
    """A VAE trained until time is up, and the steps that it took."""
    torch.manual_seed(options.seed)
    config = VAEConfig(input_dim=(1, 28, 28), latent_dim=options.code, reconstruction_loss=options.loss)
    parts = (
        {}
        if options.network == "mlp"
        else {"encoder": Encoder_Conv_VAE_MNIST(config), "decoder": Decoder_Conv_AE_MNIST(config)}
    )
    model = VAE(config, **parts)
    with tempfile.TemporaryDirectory() as folder:
        plan = BaseTrainerConfig(
            output_dir=folder,
            num_epochs=10_000,
            per_device_train_batch_size=BATCH,
            learning_rate=RATE,
            no_cuda=True,
            seed=options.seed,
        )
        data = BaseDataset(images, torch.zeros(len(images)))
        clock = Clock(options.minutes)
        with contextlib.suppress(TimeIsUp):
            BaseTrainer(model, data, training_config=plan, callbacks=[clock]).train()
    return model.eval(), clock.steps


def samplers(model: VAE, two_stage: bool) -> dict[str, tuple[Any, Any]]:
    """pythae's samplers by name, and the configuration of what a second training takes."""
    stage = BaseTrainerConfig(**SECOND_STAGE)
    found: dict[str, tuple[Any, Any]] = {
        "normal": (NormalSampler(model), None),
        "mixture": (GaussianMixtureSampler(model, GaussianMixtureSamplerConfig(n_components=10)), None),
        "maf": (MAFSampler(model, MAFSamplerConfig()), stage),
    }
    if two_stage:
        found["two-stage"] = (TwoStageVAESampler(model, TwoStageVAESamplerConfig()), stage)
    return found


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("images", type=Path)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--network", choices=("mlp", "conv"), default="mlp")
    parser.add_argument("--loss", choices=("mse", "bce"), default="mse")
    parser.add_argument("--code", type=int, default=16)
    parser.add_argument("--minutes", type=float, default=10)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--samples", type=int, default=10_000)
    parser.add_argument("--two-stage", action="store_true")
    options = parser.parse_args()
    logging.disable(logging.INFO)
    images = torch.from_numpy(np.load(options.images)).float()[:, None] / 255
    began = time.perf_counter()
    model, steps = trained(images, options)
    told: dict[str, Any] = {
        "training_seconds": time.perf_counter() - began,
        "training_steps": steps,
        "sampler_seconds": {},
    }
    for name, (sampler, stage) in samplers(model, options.two_stage).items():
        began = time.perf_counter()
        torch.manual_seed(options.seed)
        if name != "normal":
            extra = {} if stage is None else {"training_config": stage}
            sampler.fit(images, **extra)
        made = sampler.sample(num_samples=options.samples, batch_size=500, return_gen=True)
        pixels = (made.detach().cpu().clamp(0, 1) * 255).round().to(torch.uint8)[:, 0]
        np.save(options.folder / f"{name}.npy", pixels.numpy())
        told["sampler_seconds"][name] = time.perf_counter() - began
    (options.folder / "told.json").write_text(json.dumps(told))


if __name__ == "__main__":
    main()
