"""Training on an accelerator: an epoch of MNIST-sized images, beside pythae and loops written by hand, on one card.

The MLP VAE of ``train_speed.py`` on 60,000 binary images, batch 512, all resident on the card. Contenders train an
epoch each in turn; the host waits for the card before and after each. Beside ours, in float32 and as ``--precision
auto`` would: the same as ``--eager`` has it, so that what a captured step gains shows, pythae, the loop that a person
who knows torch writes by hand, the same loop with its step captured as a graph, and the products of matrices of a step
alone. Float32 products are full ones, not tf32.

Of each: images a second, the milliseconds of an epoch, the share of the card's matrix rate (the products' operations
by those of one large product, in the same type) and of its memory bandwidth (what a step cannot help to move, by the
rate of a large copy).

    python benchmarks/accelerator.py [--device cuda] [--images 60000] [--rounds 20]

records ``results/accelerator.json``; it needs ``pip install pythae`` beside narrows, and an accelerator. ``--device
cpu`` goes through the same steps, for a look, and records nothing.
"""

from __future__ import annotations

import argparse
import statistics
import tempfile
import time
from collections.abc import Callable

import numpy as np
import torch

from binary_images import CELLS, CODE, WIDTH, images
from contenders import (
    LAYERS,
    Contender,
    Tuned,
    narrows_epoch,
    products,
    pythae_epoch,
    raced,
    ratios,
    tuned_epoch,
)
from narrows.train import precision_for
from record import record

BATCH = 512
LARGE = {"cuda": 8192, "cpu": 1024}  # side of the product that tells the matrix rate
COPIED = {"cuda": 2**30, "cpu": 2**26}  # bytes of the copy that tells the bandwidth
REPEATS = 20
EPOCH_MS, TIMES_PYTHAE = 20.0, 100.0
# Passes over the weights: forward and backward read them, the gradient is written; Adam reads the weight, the gradient
# and two moments, and writes the weight and the moments.
WEIGHT_PASSES = 3 + 4 + 3
FLOAT, BYTE = 4, 1


def waiting(device: str) -> Callable[[], object]:
    """What waits until the device has done what it was asked to."""
    return torch.cuda.synchronize if device == "cuda" else int


def captured_epoch(data: np.ndarray, batch: int) -> Contender:
    """The loop written by hand, its step one graph on the card; rows beyond whole batches are left out."""
    rows, model = torch.from_numpy(data.reshape(len(data), -1)).cuda(), Tuned().cuda()
    optimizer = torch.optim.Adam(model.parameters(), lr=1e-3, fused=True, capturable=True)
    index = torch.zeros(batch, dtype=torch.int64, device="cuda")

    def step() -> None:
        optimizer.zero_grad(set_to_none=True)
        model(rows.index_select(0, index).float()).backward()
        optimizer.step()

    aside = torch.cuda.Stream()
    aside.wait_stream(torch.cuda.current_stream())
    with torch.cuda.stream(aside):  # a capture wants everything made once before it
        for _ in range(3):
            step()
    torch.cuda.current_stream().wait_stream(aside)
    graph = torch.cuda.CUDAGraph()
    with torch.cuda.graph(graph):
        step()

    def epoch() -> int:
        for chosen in torch.randperm(len(rows), device="cuda")[: len(rows) // batch * batch].split(batch):
            index.copy_(chosen)
            graph.replay()
        return len(rows) // batch * batch

    return epoch


def contenders_on(device: str, data: np.ndarray, folder: str) -> dict[str, Contender]:
    """Who trains, by name."""
    found = {
        "narrows": narrows_epoch(data, BATCH, device=device),
        "pythae": pythae_epoch(data, BATCH, folder, device=device),
        "tuned_loop": tuned_epoch(data, BATCH, device),
        "products": products(len(data), BATCH, device=device),
    }
    if device == "cuda":
        found["captured_loop"] = captured_epoch(data, BATCH)
        found["narrows_eager"] = narrows_epoch(data, BATCH, device=device, eager=True)
    if precision_for("auto", torch.device(device)) is not None:
        found["narrows_auto"] = narrows_epoch(data, BATCH, precision="auto", device=device)
        found["products_auto"] = products(len(data), BATCH, "auto", device)
    return found


def median_seconds(work: Callable[[], object], wait: Callable[[], object]) -> float:
    """Of a piece of work that the device does, after a warm-up."""
    seconds = []
    for _ in range(REPEATS + 1):
        wait()
        began = time.perf_counter()
        work()
        wait()
        seconds.append(time.perf_counter() - began)
    return statistics.median(seconds[1:])


def matrix_rate(device: str, dtype: torch.dtype) -> float:
    """Floating-point operations a second of one large product."""
    side = LARGE[device]
    left, right = (torch.randn(side, side, device=device).to(dtype) for _ in range(2))
    return 2 * side**3 / median_seconds(lambda: left @ right, waiting(device))


def bandwidth(device: str) -> float:
    """Bytes a second that a large copy reads and writes."""
    source = torch.zeros(COPIED[device], dtype=torch.uint8, device=device)
    target = torch.empty_like(source)
    return 2 * COPIED[device] / median_seconds(lambda: target.copy_(source), waiting(device))


def operations_a_step() -> int:
    """Of the products: forward, the weights' gradients, and what the layers but the first hand back."""
    weights = [n_in * n_out for n_in, n_out in LAYERS]
    return 2 * BATCH * (3 * sum(weights) - weights[0])


def bytes_a_step() -> int:
    """What a step cannot help to move: the weights, the rows, and each layer's output, written once and read twice."""
    weights = sum(n_in * n_out + n_out for n_in, n_out in LAYERS)
    outputs = WIDTH + 2 * CODE + WIDTH + CELLS
    return FLOAT * WEIGHT_PASSES * weights + BATCH * (BYTE * CELLS + 3 * FLOAT * outputs)


def shares(device: str, speed: dict[str, list[float]]) -> dict[str, dict[str, float]]:
    """Milliseconds of an epoch of 60,000 images, and shares of what the card can do, of each contender."""
    auto = precision_for("auto", torch.device(device))
    rates = {"float32": matrix_rate(device, torch.float32)}
    if auto is not None:
        rates["auto"] = matrix_rate(device, auto)
    moved = bandwidth(device)
    told = {
        "card": {**{f"{name}_tflops": rate / 1e12 for name, rate in rates.items()}, "copy_gb_a_second": moved / 1e9}
    }
    for name, seen in speed.items():
        steps = statistics.median(seen) / BATCH  # a second
        told[name] = {
            "epoch_ms": 1e3 * 60_000 / statistics.median(seen),
            "share_of_matrix_rate": operations_a_step() * steps / rates["auto" if name.endswith("auto") else "float32"],
            "share_of_bandwidth": bytes_a_step() * steps / moved,
        }
    return told


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--device", choices=tuple(LARGE), default="cuda")
    parser.add_argument("--images", type=int, default=60_000)
    parser.add_argument("--rounds", type=int, default=20)
    options = parser.parse_args()
    if options.device == "cuda" and not torch.cuda.is_available():
        raise SystemExit("no accelerator was found; --device cpu goes through the same steps without one")
    began = time.perf_counter()
    torch.set_float32_matmul_precision("highest")
    with tempfile.TemporaryDirectory() as folder:
        contenders = contenders_on(options.device, images(options.images), folder)
        speed = raced(contenders, options.rounds, waiting(options.device))
    figures = {**ratios(speed), **shares(options.device, speed)}
    best = min(told["epoch_ms"] for name, told in figures.items() if name in ("narrows", "narrows_auto"))
    figures["bars"] = {
        "epoch_ms": {"reached": best, "value": EPOCH_MS},
        "times_pythae": {
            "reached": max(figures[k] for k in figures if k.endswith("ratio_to_pythae")),
            "value": TIMES_PYTHAE,
        },
    }
    print(figures, flush=True)
    if options.device == "cuda":
        protocol = f"{options.images} images, batch {BATCH}, medians of {options.rounds} epochs in an order of chance"
        figures["card"]["name"] = torch.cuda.get_device_name()
        record("accelerator", figures, seconds=time.perf_counter() - began, protocol=protocol)


if __name__ == "__main__":
    main()
