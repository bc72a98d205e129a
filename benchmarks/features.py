"""The classifier whose features `narrows evaluate --samples` measures images by, trained and written.

A small convolutional network tells the ten digits of MNIST and the ten kinds of clothes of Fashion-MNIST apart, from
their 120,000 training images and nothing else; a tenth of them is held out and tells its accuracy. Its weights become
float16 numbers in one safetensors file of the package, whose SHA-256 stands in `narrows.evaluate.features`: put the one
printed here in its place. Figures of samples measured by other weights do not compare.

    NARROWS_DATA=... python benchmarks/features.py [--epochs 6]
"""

from __future__ import annotations

import argparse
import hashlib
import time
from pathlib import Path

import numpy as np
import safetensors.torch
import torch
from torch import Tensor
from torch.nn.functional import cross_entropy

import narrows
from narrows.data import read
from narrows.evaluate.features import FILE, Classifier
from record import record

BATCH = 256
RATE = 2e-3


def images_and_classes() -> tuple[Tensor, Tensor]:
    """Training images (n, 1, 28, 28) as bytes, and classes (n,): 0 to 9 digits, 10 to 19 clothes."""
    sets = [read(name) for name in ("mnist", "fashion-mnist")]
    classes = [np.asarray(one.labels).astype(np.int64) + 10 * place for place, one in enumerate(sets)]
    return torch.from_numpy(np.concatenate([one.values for one in sets])), torch.from_numpy(np.concatenate(classes))


def train(images: Tensor, classes: Tensor, epochs: int) -> Classifier:
    torch.manual_seed(0)
    network = Classifier().to(memory_format=torch.channels_last)
    optimizer = torch.optim.AdamW(network.parameters(), lr=RATE)
    steps = epochs * (len(images) // BATCH)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, RATE, total_steps=steps)
    for _ in range(epochs):
        for rows in torch.randperm(len(images))[: len(images) // BATCH * BATCH].split(BATCH):
            optimizer.zero_grad()
            cross_entropy(network.head(network(images[rows].float() / 255)), classes[rows]).backward()
            optimizer.step()
            schedule.step()
    return network.eval()


@torch.inference_mode()
def applied(network: Classifier, images: Tensor) -> Tensor:
    return torch.cat([network(rows.float() / 255) for rows in images.split(1000)])


@torch.inference_mode()
def accuracy(network: Classifier, images: Tensor, classes: Tensor) -> float:
    raw = applied(network, images) * network.spread + network.centre
    return float((network.head(raw).argmax(1) == classes).double().mean())


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--epochs", type=int, default=6)
    options = parser.parse_args()
    began = time.perf_counter()
    images, classes = images_and_classes()
    order = torch.randperm(len(images), generator=torch.Generator().manual_seed(0))
    held_out, chosen = order[: len(order) // 10], order[len(order) // 10 :]
    network = train(images[chosen], classes[chosen], options.epochs)
    found = applied(network, images[chosen])
    network.centre, network.spread = found.mean(0), found.std(0)
    halves = {name: tensor.half().contiguous() for name, tensor in network.state_dict().items()}
    network.load_state_dict({name: tensor.float() for name, tensor in halves.items()})
    data = safetensors.torch.save(halves)
    path = Path(narrows.__file__).parent / "evaluate" / FILE
    path.write_bytes(data)
    figures = {
        "held_out_accuracy_digits": accuracy(
            network, *(part[held_out[classes[held_out] < 10]] for part in (images, classes))
        ),
        "held_out_accuracy_clothes": accuracy(
            network, *(part[held_out[classes[held_out] >= 10]] for part in (images, classes))
        ),
        "bytes": len(data),
        "sha_256": hashlib.sha256(data).hexdigest(),
    }
    protocol = f"{len(chosen)} training images, {options.epochs} epochs, {len(held_out)} held out; weights as float16"
    print(record("features", figures, seconds=time.perf_counter() - began, protocol=protocol).read_text())


if __name__ == "__main__":
    main()
