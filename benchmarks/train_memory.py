"""Peak memory of training on 60,000 images, against pythae.

The VAE of an MLP of ``train_speed.py``, on binary images, one epoch in batches of 100 through each package's own front
door, in a fresh process of its own; three of each in turn, and the median.

    python benchmarks/train_memory.py [--rounds 3]

records ``results/train_memory.json``; it needs ``pip install pythae`` beside narrows.
"""

from __future__ import annotations

import argparse
import resource
import statistics
import subprocess
import sys
import tempfile
import time

import numpy as np

from binary_images import CODE, images
from record import record

NAMES = ("narrows", "pythae")
ROUNDS = 3
IMAGES = 60_000
TRIED = (
    "Held-out rows that are not copied, weights copied over their last copy, principal components before the training "
    "in place of after it, blocks of 80,000 cells outside of the steps in place of 400,000: it was 368 MiB. Left: "
    "components by torch.lobpcg (4 MiB less, exact to a tolerance alone), MALLOC_MMAP_THRESHOLD_ at 128 KiB (9 MiB "
    "less; its speed was not measured)."
)
LIMIT = (
    "Torch itself takes 219 MiB as it is imported, the images 47, the weights with moments, slopes and two copies 19."
)


def train_once(name: str) -> None:
    """Train one epoch on 60,000 images by the package's own front door, for the memory that it takes."""
    if name == "narrows":
        from narrows.data.dataset import from_array
        from narrows.fit import fit
        from narrows.plan import Plan

        dataset = from_array(images(IMAGES))
        fit(dataset.values, dataset.schema, "variational", ["network=mlp"], Plan(epochs=1, batch_size=100))
        return
    from pythae.models import VAE, VAEConfig
    from pythae.pipelines import TrainingPipeline
    from pythae.trainers import BaseTrainerConfig

    with tempfile.TemporaryDirectory() as folder:
        config = VAEConfig(input_dim=(1, 28, 28), latent_dim=CODE, reconstruction_loss="bce")
        training = BaseTrainerConfig(output_dir=folder, num_epochs=1, per_device_train_batch_size=100, no_cuda=True)
        TrainingPipeline(model=VAE(config), training_config=training)(images(IMAGES)[:, None].astype(np.float32))


def peak_memory(name: str) -> float:
    """Peak resident memory, in MiB, of a fresh process that trains once."""
    words = [sys.executable, __file__, "--train-once", name]
    done = subprocess.run(words, capture_output=True, text=True, check=True)
    return float(done.stdout.splitlines()[-1])


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=ROUNDS, help="fewer than the usual ones are not recorded")
    parser.add_argument("--train-once", choices=NAMES)
    options = parser.parse_args()
    if options.train_once:
        train_once(options.train_once)
        print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024)
        return
    began = time.perf_counter()
    seen = [{name: round(peak_memory(name), 1) for name in NAMES} for _ in range(options.rounds)]
    peaks = {name: statistics.median(peak[name] for peak in seen) for name in NAMES}
    figures = {"peak_mib": peaks, "ratio": round(peaks["narrows"] / peaks["pythae"], 4), "rounds": seen}
    print(figures)
    if options.rounds >= ROUNDS:
        told = {"tried": TRIED, "limit": LIMIT}
        record("train_memory", {**figures, **told}, seconds=time.perf_counter() - began)


if __name__ == "__main__":
    main()
