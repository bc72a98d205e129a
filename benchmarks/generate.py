"""New images from models trained for equally long: ours with priors fitted after training, pythae's with its samplers.

Each contender trains on the 60,000 training images by the clock, and makes 10,000 images, which are set beside the
10,000 test images: squared Frechet distance in the features of a classifier of our own (never to be called FID),
precision and recall, density and coverage, and how often a classifier tells them from real ones. The fit of a prior or
of a sampler to the finished model comes after, and its seconds are told. Settings were chosen on held-out training
images.

- ``vae``: a variational autoencoder, drawn from N(0, I), and from a mixture, a flow and an aggregate fitted to the
  codes of its training rows: one and the same decoder; a mixture fitted class by class as well, and how many of the
  images asked for of a class are of it by the classifier;
- ``basic``: the autoencoder without a divergence, drawn from N(0, I) moved and scaled number by number to its codes,
  and from a mixture fitted to them;
- ``pythae-NETWORK-LOSS``: pythae's VAE with its own network of either kind and either loss, its own trainer, and its
  samplers: normal, gaussian mixture, masked autoregressive flow, and, where asked for, a second VAE (in a trial of 18
  seconds' training it was three times as far off as the mixture, and took four minutes to fit). Its convolutional
  networks run where they are asked for: without an accelerator they see too few images in the time. In an environment
  of its own:

    python -m venv elsewhere && elsewhere/bin/pip install pythae
    NARROWS_DATA=... python benchmarks/generate.py --pythae-python elsewhere/bin/python
        [--data fashion-mnist mnist] [--only vae basic pythae-mlp-bce ...] [--seeds 0 1 2] [--minutes 3]

records each data set, contender and seed in ``results/generate_<data>_<contender>_<seed>.json``, with other minutes or
samples than the usual ones it only prints; ``--sheets FOLDER`` keeps a sheet of each kind of images to look at.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import tempfile
import time
from pathlib import Path
from typing import Any

import numpy as np
import torch

from narrows import load, read
from narrows.data.schema import Schema
from narrows.data.writers import in_stored_type
from narrows.evaluate.features import classifier, features_of
from narrows.evaluate.sampled import figures_beside
from narrows.generation import fit_prior
from narrows.inference import codes, decoded, samples
from narrows.model import Model
from narrows.noise import Noise
from narrows.pictures import as_pixels, save_png, sheet
from narrows.tensors import tensor_of
from record import record
from running import narrows

MINUTES = 3.0
SAMPLES = 10_000
SHOWN = 64
OF_A_CLASS = 500
CODE = 16
SETTINGS = ("network=mlp", "likelihood=bernoulli", f"latent.size={CODE}")
# A grey level is the probability of white, drawn anew each time: on average the cross-entropy of grey pixels.
LINE = ("--batch-size", "256", "--average", "0.999", "--binarize", "draw")
PRIORS = ("mixture", "flow", "aggregate")
PYTHAE = [f"pythae-{network}-{loss}" for network in ("mlp", "conv") for loss in ("mse", "bce")]
CONTENDERS = ["vae", "basic", *PYTHAE]
USUAL = ["vae", "basic", "pythae-mlp-bce", "pythae-mlp-mse"]

Made = dict[str, np.ndarray]


def trained(data: str, preset: str, seed: int, options: argparse.Namespace, path: Path) -> dict[str, Any]:
    line = ["--preset", preset, "--minutes", str(options.minutes), "--seed", str(seed), *LINE, "--set", *SETTINGS]
    told = narrows("train", data, "-o", str(path), *line)
    return {
        "training_line": f"narrows train {data} {' '.join(line)}",
        "training_seconds": told["seconds"],
        "training_steps": told["steps"],
    }


def vae(data: str, seed: int, options: argparse.Namespace, folder: Path) -> tuple[Made, dict[str, Any]]:
    """Ours, under N(0, I) and under each prior fitted afterwards."""
    told = trained(data, "variational", seed, options, folder / "m.safetensors")
    told["of_the_class_asked_for"] = by_class(folder / "m.safetensors", data, seed)
    return drawn(folder / "m.safetensors", data, seed, options, PRIORS, told, {})


def by_class(path: Path, data: str, seed: int) -> dict[str, float]:
    """Share of the images asked for of each class that the classifier puts there; real test images beside them."""
    dataset, test = read(data), read(f"{data}:test")
    found = fit_prior(load(path), tensor_of(dataset.values), labels=dataset.labels, seed=seed).fitted
    made = {label: samples(found.model, OF_A_CLASS, seed, label=str(label)).numpy() for label in range(10)}
    of_made = [share_of(label, in_stored_type(images, found.schema), found.schema) for label, images in made.items()]
    of_test = [share_of(label, test.values[test.labels == label], found.schema) for label in made]
    return {"made": float(np.mean(of_made)), "test": float(np.mean(of_test))}


def share_of(label: int, images: np.ndarray, schema: Schema) -> float:
    """Share of images that the classifier takes for this digit, or for this kind of clothes."""
    network = classifier()
    with torch.inference_mode():
        features = torch.from_numpy(features_of(images, schema)).float()
        told = network.head(features * network.spread + network.centre).argmax(1)
    return float((told % 10 == label).double().mean())


def basic(data: str, seed: int, options: argparse.Namespace, folder: Path) -> tuple[Made, dict[str, Any]]:
    """Ours without a divergence: codes that nothing holds near N(0, I)."""
    told = trained(data, "autoencoder", seed, options, folder / "m.safetensors")
    model = load(folder / "m.safetensors").model
    z = codes(model, tensor_of(read(data).values))
    normal = Noise(seed).normal((options.samples, z.shape[1]), rows=0)
    return drawn(
        folder / "m.safetensors",
        data,
        seed,
        options,
        ("mixture",),
        told,
        {"scaled normal": decoded(model, z.mean(0) + z.std(0) * normal)},
    )


def drawn(
    path: Path,
    data: str,
    seed: int,
    options: argparse.Namespace,
    priors: tuple[str, ...],
    told: dict[str, Any],
    made: dict[str, torch.Tensor],
) -> tuple[Made, dict[str, Any]]:
    """Images drawn from what a model has, and from priors fitted to its codes."""
    fitted, values = load(path), tensor_of(read(data).values)
    if fitted.model.latent.bounds:
        made["normal"] = samples(fitted.model, options.samples, seed)
    told |= {"sampler_seconds": {}, "held_out_nats": {}}
    for kind in priors:
        began = time.perf_counter()
        found = fit_prior(fitted, values, kind, seed=seed)
        told["sampler_seconds"][kind] = time.perf_counter() - began
        told["held_out_nats"][kind] = found.held_out_nats
        made[kind] = samples(found.fitted.model, options.samples, seed)
    return {name: in_stored_type(images.numpy(), fitted.schema) for name, images in made.items()}, told


def pythae(name: str, data: str, seed: int, options: argparse.Namespace, folder: Path) -> tuple[Made, dict[str, Any]]:
    """pythae's, in an environment of its own."""
    if options.pythae_python is None:
        raise SystemExit(f"{name} wants --pythae-python, the Python of an environment with pythae")
    _, network, loss = name.split("-")
    np.save(folder / "images.npy", read(data).values[:, 0])
    script = Path(__file__).with_name("pythae_samples.py")
    words = [options.pythae_python, script, folder / "images.npy", folder, "--network", network, "--loss", loss]
    words += ["--code", CODE, "--minutes", options.minutes, "--seed", seed, "--samples", options.samples]
    words += ["--two-stage"] * options.two_stage
    done = subprocess.run([str(word) for word in words], capture_output=True, text=True, check=False)
    if done.returncode:
        raise SystemExit(done.stderr)
    told = json.loads((folder / "told.json").read_text())
    return {kind: np.load(folder / f"{kind}.npy")[:, None] for kind in told["sampler_seconds"]}, told


def measured(made: Made, data: str, seed: int, model: Model) -> dict[str, dict[str, Any]]:
    """Figures of each kind of images beside the test images."""
    training, test = (tensor_of(read(name).values) for name in (data, f"{data}:test"))
    return {
        name: figures_beside(model, torch.from_numpy(images), test, training, seed) for name, images in made.items()
    }


def reading_model(data: str) -> Model:
    """A model that was not trained, which knows what the images are: distances are taken alike for all contenders."""
    from narrows.presets import choose

    dataset = read(data)
    model = Model(choose("variational", dataset.schema, []), dataset.schema)
    model.adapt(tensor_of(dataset.values))
    return model.eval()


def run(name: str, data: str, seed: int, options: argparse.Namespace) -> dict[str, Any]:
    with tempfile.TemporaryDirectory() as folder:
        if name in PYTHAE:
            made, told = pythae(name, data, seed, options, Path(folder))
        else:
            made, told = {"vae": vae, "basic": basic}[name](data, seed, options, Path(folder))
    model = reading_model(data)
    if options.sheets is not None:
        shown = {kind: as_pixels(images[:SHOWN], model.schema) for kind, images in made.items()}
        save_png(sheet(shown, 16), options.sheets / f"{data}_{name}_{seed}.png")
    figures = measured(made, data, seed, model)
    if "normal" in figures:
        of_normal = figures["normal"]["samples_frechet"]
        told["frechet_to_that_of_normal"] = {kind: f["samples_frechet"] / of_normal for kind, f in figures.items()}
    return {"samples": figures, **told}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", nargs="+", choices=("fashion-mnist", "mnist"), default=["fashion-mnist", "mnist"])
    parser.add_argument("--only", nargs="+", choices=CONTENDERS, default=USUAL)
    parser.add_argument("--seeds", nargs="+", type=int, default=[0, 1, 2])
    parser.add_argument("--minutes", type=float, default=MINUTES)
    parser.add_argument("--samples", type=int, default=SAMPLES)
    parser.add_argument("--pythae-python", type=str)
    parser.add_argument("--two-stage", action="store_true", help="draw from pythae's second VAE as well")
    parser.add_argument("--sheets", type=Path)
    options = parser.parse_args()
    usual = (options.minutes, options.samples) == (MINUTES, SAMPLES)
    for seed in options.seeds:
        for data in options.data:
            for name in options.only:
                began = time.perf_counter()
                figures = run(name, data, seed, options)
                for kind, of_kind in figures["samples"].items():
                    told = {
                        key.removeprefix("samples_"): round(value, 4)
                        for key, value in of_kind.items()
                        if isinstance(value, float)
                    }
                    print(f"{data} {name} {seed} {kind:14} {told}", flush=True)
                print({key: value for key, value in figures.items() if key != "samples"}, flush=True)
                if usual:
                    protocol = (
                        f"{data}, {options.minutes:g} minutes of training, {options.samples} images beside the test "
                        f"images; codes of {CODE} numbers; squared Frechet distance in 64 features of our classifier"
                    )
                    place = f"generate_{data}_{name}_{seed}"
                    record(place, figures, seconds=time.perf_counter() - began, protocol=protocol)


if __name__ == "__main__":
    main()
