"""Train on the embedded images and put the model through every verb."""

from __future__ import annotations

import time
from dataclasses import dataclass
from pathlib import Path

from narrows.apps.embed import embed
from narrows.apps.evaluate import evaluate
from narrows.apps.generate import generate
from narrows.apps.reconstruct import reconstruct
from narrows.apps.train import Trained, train
from narrows.plan import Plan

DATA = "fashion-sample"
SHOWN = 12


@dataclass(frozen=True)
class Demo:
    """What the demo measured on images that the model has not seen.

    Parameters
    ----------
    model, sheet : str
        The model file and the sheet of real, reconstructed and generated images.
    files : list of str
        Everything else that was written.
    training_images, test_images : int
        Images trained on and measured.
    bits_per_dim : float
        Minus the lower bound on log p(x), in bits a pixel.
    log_likelihood_bits_per_dim : float
        The same for the importance-sampled log p(x) with 100 draws, on the first 200 test images.
    reconstruction_error, pca_error, mean_error : float
        Mean squared error a pixel on [0, 1]: the model's, that of principal components at the same code size, and of
        the mean image.
    code_size, active_units : int
        Numbers in a code, and those of them in use.
    training_seconds, seconds : float
        Time in training, and in all.
    findings : list of str
        What the doctor found.
    """

    model: str
    sheet: str
    files: list[str]
    training_images: int
    test_images: int
    bits_per_dim: float
    log_likelihood_bits_per_dim: float
    reconstruction_error: float
    pca_error: float
    mean_error: float
    code_size: int
    active_units: int
    training_seconds: float
    seconds: float
    findings: list[str]


def demo(output: Path = Path("demo"), minutes: float = 2.0, seed: int = 0) -> Demo:
    """Train a convolutional variational autoencoder on the embedded images and put it through every verb.

    Parameters
    ----------
    output : Path
        Folder to write into.
    minutes : float
        Time to train.
    seed : int
        Seed of the training and of the samples.
    """
    plan = Plan(minutes=minutes, seed=seed)
    plan.check()
    began = time.perf_counter()
    output.mkdir(parents=True, exist_ok=True)
    model = output / "model.safetensors"
    test = f"{DATA}:test"
    trained = train(DATA, model, "variational", plan=plan)
    assert isinstance(trained, Trained)
    measured = evaluate(model, test)
    weighed = evaluate(model, test, draws=100, rows=200)
    files = [
        embed(model, test, output / "codes.parquet").file,
        generate(model, output / "samples.png", n=64, seed=seed).file,
        reconstruct(model, test, output / "reconstructed.npy").file,
    ]
    picture = output / "sheet.png"
    _sheet(model, test, picture, seed)
    assert measured.bits_per_dim is not None
    assert weighed.log_likelihood_bits_per_dim is not None
    assert measured.pca_error is not None
    assert measured.mean_error is not None
    assert measured.active_units is not None
    return Demo(
        model=str(model),
        sheet=str(picture),
        files=files,
        training_images=trained.rows,
        test_images=measured.rows,
        bits_per_dim=measured.bits_per_dim,
        log_likelihood_bits_per_dim=weighed.log_likelihood_bits_per_dim,
        reconstruction_error=measured.reconstruction_error,
        pca_error=measured.pca_error,
        mean_error=measured.mean_error,
        code_size=measured.code_size,
        active_units=measured.active_units,
        training_seconds=trained.seconds,
        seconds=time.perf_counter() - began,
        findings=trained.findings,
    )


def _sheet(model: Path, data: str, path: Path, seed: int) -> None:
    """Real images, the same reconstructed, and new ones, one above the other."""
    from narrows.data import read
    from narrows.inference import reconstructed, samples
    from narrows.persist import load
    from narrows.pictures import as_pixels, save_png, sheet
    from narrows.tensors import tensor_of

    fitted = load(model)
    real = read(data, schema=fitted.schema).values[: 2 * SHOWN]
    groups = {
        "real": real,
        "reconstructed": reconstructed(fitted.model, tensor_of(real)).numpy(),
        "generated": samples(fitted.model, 3 * SHOWN, seed).numpy(),
    }
    save_png(sheet({label: as_pixels(images, fitted.schema) for label, images in groups.items()}, SHOWN), path)
