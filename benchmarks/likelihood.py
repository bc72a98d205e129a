"""The bound that a VAE reaches on dynamically binarised MNIST: ln p(x) of the 10,000 test images by 5,000 draws each.

Each case is one line of ``narrows train``, by the clock, on the 60,000 training images made binary anew each time
they are seen, a tenth of them held out for the best weights; and one of ``narrows evaluate``. One block and 50
codes are those of the best figures known on two cores; rate, batch and warm-up were chosen on held-out training
images: with 25 epochs the warm-up is worth 1.1 nats, twice the rate loses 2.8, and half of it 0.8. Of IWAE-5 with a
flow for a prior the warm-up is worth 1.5 nats (86.5 against 88.0 on 1,000 held-out images after 6 minutes on one core),
and the flow 2.4 (``iwae-standard`` goes without it). A VAE with the flow had 85.6 by then, and its bound was 1.3 nats
better in training than on held-out images: the case of an hour weighs draws, which had no such gap yet.

    NARROWS_DATA=... python benchmarks/likelihood.py --only vae [--seeds 0 1 2] [--minutes 10] [--draws 5000] [--rows 0]

records each case and seed in ``results/likelihood_<case>_<seed>.json``; with other minutes, draws or rows than the
usual ones it only prints. It wants a quiet machine: training takes the minutes of the case, and scoring about twenty
more on two cores.
"""

from __future__ import annotations

import argparse
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from record import record
from running import narrows

DRAWS = 5000
SEEDS = (0, 1, 2)
COMMON = ("--binarize", "draw", "--batch-size", "256", "--average", "0.999", "--rate", "0.002")
NETWORK = (
    "network=mlp",
    "network.width=512",
    "network.depth=1",
    "network.residual=true",
    "latent.size=50",
)
WEIGHTED = ("gradient=doubly-reparameterised", "objective.warm_up=0.2")


@dataclass(frozen=True)
class Case:
    """A line of training: preset, choices and minutes."""

    preset: str
    settings: tuple[str, ...]
    minutes: float


CASES = {
    "vae": Case("variational", (*NETWORK, "objective.warm_up=0.2"), 10),
    "iwae-standard": Case("iwae", (*NETWORK, *WEIGHTED), 10),
    "iwae": Case("iwae", (*NETWORK, *WEIGHTED, "latent.prior=flow"), 10),
    "hour": Case("iwae", (*NETWORK, *WEIGHTED, "latent.prior=flow"), 60),
}


def run(case: Case, seed: int, minutes: float, draws: int, rows: int) -> dict[str, Any]:
    """Train and score; nats an example."""
    with tempfile.TemporaryDirectory() as folder:
        model = str(Path(folder) / "mnist.safetensors")
        line = ["--preset", case.preset, "--minutes", str(minutes), "--seed", str(seed), *COMMON]
        trained = narrows("train", "mnist", "-o", model, *line, "--set", *case.settings)
        began = time.perf_counter()
        scored = narrows("evaluate", model, "mnist:test", "--draws", str(draws), "--rows", str(rows))
        seconds = time.perf_counter() - began
    return {
        "nll_nats": -scored["log_likelihood_nats"],
        "nll_standard_error": scored["log_likelihood_standard_error"],
        "minus_elbo_nats": -scored["elbo_nats"],
        "rate_nats": scored["rate_nats"],
        "effective_draws": scored["effective_draws"],
        "active_units": scored["active_units"],
        "images": scored["rows"],
        "draws": draws,
        "training_seconds": trained["seconds"],
        "training_steps": trained["steps"],
        "scoring_seconds": seconds,
        "training_line": f"narrows train mnist {' '.join(line)} --set {' '.join(case.settings)}",
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--only", nargs="+", choices=list(CASES), default=list(CASES))
    parser.add_argument("--seeds", nargs="+", type=int, default=list(SEEDS))
    parser.add_argument("--minutes", type=float, help="of training, in place of those of the case")
    parser.add_argument("--draws", type=int, default=DRAWS)
    parser.add_argument("--rows", type=int, default=0, help="test images, from the first; 0 for all")
    options = parser.parse_args()
    usual = options.minutes is None and options.draws == DRAWS and not options.rows
    for name in options.only:
        for seed in options.seeds:
            began = time.perf_counter()
            figures = run(CASES[name], seed, options.minutes or CASES[name].minutes, options.draws, options.rows)
            for key, figure in figures.items():
                print(f"{name:6} {seed} {key:20} {figure}", flush=True)
            if usual:
                protocol = (
                    "MNIST, binarised by a draw; ln p(x) by importance sampling from q(z | x), a lower bound on average"
                )
                record(f"likelihood_{name}_{seed}", figures, seconds=time.perf_counter() - began, protocol=protocol)


if __name__ == "__main__":
    main()
