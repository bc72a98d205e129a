"""Noise taken out of images, ours beside BM3D, non-local means, total variation, PCA-Wiener and a plain autoencoder.

Noise is added to test images in floating point and neither rounded nor clipped; what a method gives is clipped to
[0, 255]. PSNR is the mean over images, SSIM as `narrows.compression.quality` has it. What a rival lets one choose is
chosen on training images, BM3D and PCA-Wiener are told the strength of the noise. Cases:

fashion      Fashion-MNIST, sigma 50, 15 minutes of training; all methods on the first test images, ours on all as well
photographs  BSD68 grey, sigma 25, 60 minutes of training on the 24 Kodak photographs and smaller copies of them
salt         BSD68, salt and pepper over 30 % of the pixels, beside median filters
masked       BSD68, half of the pixels missing, beside biharmonic inpainting, on the middle of each photograph; 30
             minutes of training, as after 10 ours had 29.151 dB there and biharmonic inpainting 29.159
twins        Fashion-MNIST, sigma 50: trained on clean images, and in the same time on noisy ones alone, in three ways;
             fewer channels than above, for what is scored then is noisy, and it takes examples to average that out.
             Plans were chosen on the last 5,000 training images
codes        Fashion-MNIST: 5-NN accuracy of codes of corrupted images, a denoising autoencoder beside the plain one

    NARROWS_DATA=... python benchmarks/denoise.py [--only fashion] [--minutes 15] [--images 500] [--ways recorrupted]

needs ``pip install bm3d scikit-image``. Each case is recorded in ``results/denoise_<case>.json``; with fewer minutes
than usual it only prints.
"""

from __future__ import annotations

import argparse
import os
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

import bm3d
import numpy as np
import torch
from PIL import Image
from scipy.ndimage import median_filter
from skimage.restoration import denoise_nl_means, denoise_tv_chambolle, inpaint_biharmonic
from sklearn.neighbors import KNeighborsClassifier

from narrows import load
from narrows.compression.quality import psnr, squared_errors, ssim
from narrows.data import read
from narrows.inference import codes, reconstructed
from narrows.restore import restored
from record import record
from running import narrows

NATURAL = Path(os.environ.get("NARROWS_DATA", "data")) / "natural"
COPIES = (1.0, 0.75, 0.5)  # of photographs: smaller ones are sharper
TUNED_ON = 20  # training images
MIDDLE = 128  # pixels of a photograph's side
WIENER_IMAGES, WIENER_PATCHES = 20_000, 200_000

Images = list[np.ndarray]  # each (height, width), from 0 to 255
Method = Callable[[np.ndarray], np.ndarray]


@dataclass(frozen=True)
class Noise:
    """What is done to an image: gaussian noise of a standard deviation, or a share of its pixels replaced."""

    kind: str
    strength: float

    def __call__(self, images: Images, seed: int = 0) -> Images:
        """Noisy versions of images; hidden pixels are NaN."""
        rng = np.random.default_rng(seed)
        return [NOISES[self.kind](image.astype(np.float64), self.strength, rng) for image in images]


def _replaced(image: np.ndarray, rate: float, rng: np.random.Generator) -> np.ndarray:
    drawn = rng.uniform(size=image.shape)
    return np.where(drawn < rate, np.where(drawn < rate / 2, 0.0, 255.0), image)


NOISES: dict[str, Callable[[np.ndarray, float, np.random.Generator], np.ndarray]] = {
    "gaussian": lambda image, sigma, rng: image + sigma * rng.normal(size=image.shape),
    "salt-and-pepper": _replaced,
    "mask": lambda image, rate, rng: np.where(rng.uniform(size=image.shape) < rate, np.nan, image),
}


@dataclass(frozen=True)
class Case:
    """A noise, how ours is trained for it, on what, and which rivals there are."""

    noise: Noise
    data: str
    minutes: float
    settings: tuple[str, ...]
    plan: tuple[str, ...]
    rivals: tuple[str, ...]
    middle: int = 0


FASHION_PLAN = ("--batch-size", "128", "--rate", "0.002", "--average", "0.999")
FASHION_NETWORK = ("network.channels=32", "network.stages=2", "network.blocks=1")
PHOTOGRAPH_PLAN = ("--tile", "64", "--batch-size", "32", "--rate", "0.001", "--average", "0.999")
PHOTOGRAPH_NETWORK = ("network.channels=32", "network.stages=2", "network.blocks=2")
SIGMA_50 = ("corruption.raw=true", "corruption.sigma=50", "corruption.widest=none")
SIGMA_25 = ("corruption.raw=true", "corruption.sigma=25", "corruption.widest=none")
SMOOTHERS = ("BM3D", "non-local means", "total variation", "PCA-Wiener")

CASES = {
    "fashion": Case(
        Noise("gaussian", 50), "fashion", 15, (*FASHION_NETWORK, *SIGMA_50), FASHION_PLAN, (*SMOOTHERS, "autoencoder")
    ),
    "photographs": Case(
        Noise("gaussian", 25), "photographs", 60, (*PHOTOGRAPH_NETWORK, *SIGMA_25), PHOTOGRAPH_PLAN, SMOOTHERS
    ),
    "salt": Case(
        Noise("salt-and-pepper", 0.3),
        "photographs",
        10,
        (*PHOTOGRAPH_NETWORK, "corruption=salt-and-pepper", "corruption.rate=0.3"),
        PHOTOGRAPH_PLAN,
        ("median",),
    ),
    "masked": Case(
        Noise("mask", 0.5),
        "photographs",
        30,
        (*PHOTOGRAPH_NETWORK, "corruption=mask", "corruption.rate=0.5"),
        PHOTOGRAPH_PLAN,
        ("biharmonic", "median"),
        MIDDLE,
    ),
}


# --- data ------------------------------------------------------------------------------------------------------------


def fashion(split: str) -> np.ndarray:
    """Images (n, 28, 28)."""
    return read("fashion-mnist", split=split).values[:, 0]


def photographs(folder: str) -> Images:
    """Grey photographs."""
    return [np.asarray(Image.open(path).convert("L")) for path in sorted((NATURAL / folder).glob("*.png"))]


def write_copies(folder: Path) -> None:
    """Write grey training photographs and smaller copies of them, for ``narrows train``."""
    for path in sorted((NATURAL / "kodak").glob("*.png")):
        image = Image.open(path).convert("L")
        for scale in COPIES:
            size = (round(image.width * scale), round(image.height * scale))
            image.resize(size, Image.Resampling.LANCZOS).save(folder / f"{path.stem}-{scale}.png")


def middle(images: Images, side: int) -> Images:
    """The middle of each image, or all of it."""
    if not side:
        return images
    return [
        image[(image.shape[0] - side) // 2 :, (image.shape[1] - side) // 2 :][:side, :side].copy() for image in images
    ]


# --- rivals ----------------------------------------------------------------------------------------------------------


def non_local_means(noisy: np.ndarray, sigma: float, h: float) -> np.ndarray:
    """Scikit-image's, with patches of 5 x 5 within 13 x 13."""
    return denoise_nl_means(noisy, patch_size=5, patch_distance=6, h=h * sigma, sigma=sigma, fast_mode=False)


def total_variation(noisy: np.ndarray, weight: float) -> np.ndarray:
    """Scikit-image's (Chambolle 2004)."""
    return denoise_tv_chambolle(noisy, weight=weight, max_num_iter=500)


def median(noisy: np.ndarray, size: int) -> np.ndarray:
    """SciPy's; missing pixels take the median of those that are there, and only they change."""
    if not np.isnan(noisy).any():
        return median_filter(noisy, size)
    reach = size // 2
    windows = np.lib.stride_tricks.sliding_window_view(np.pad(noisy, reach, "reflect"), (size, size))
    filled = np.nanmedian(windows.reshape(*noisy.shape, -1), 2)
    return np.where(np.isnan(noisy), np.nan_to_num(filled, nan=np.nanmean(noisy)), noisy)


def biharmonic(noisy: np.ndarray) -> np.ndarray:
    """Scikit-image's inpainting."""
    gaps = np.isnan(noisy)
    return inpaint_biharmonic(np.where(gaps, 0.0, noisy) / 255, gaps) * 255


class Wiener:
    """The best linear estimate from patches, told their principal components: v / (v + sigma^2) of each is kept.

    Whole images where ``side`` is their own; else squares at every pixel, whose estimates are averaged.
    """

    def __init__(self, clean: Images, sigma: float, side: int) -> None:
        self.side = side
        rng, each = np.random.default_rng(0), -(-WIENER_PATCHES // len(clean))
        patches = np.concatenate([rng.permutation(self._patches(image))[:each] for image in clean]).astype(np.float64)
        self.mean = patches.mean(0)
        variances, axes = np.linalg.eigh(np.cov(patches.T))
        self.shrink = (axes * (variances / (variances + sigma**2))) @ axes.T

    def __call__(self, noisy: np.ndarray) -> np.ndarray:
        patches = self._patches(noisy)
        patches = (patches - self.mean) @ self.shrink + self.mean
        side, rows = self.side, noisy.shape[0] - self.side + 1
        total, count = np.zeros_like(noisy), np.zeros_like(noisy)
        squares = patches.reshape(rows, -1, side, side)
        for row in range(side):
            for column in range(side):
                place = (slice(row, row + rows), slice(column, column + squares.shape[1]))
                total[place] += squares[:, :, row, column]
                count[place] += 1
        return total / count

    def _patches(self, image: np.ndarray) -> np.ndarray:
        windows = np.lib.stride_tricks.sliding_window_view(image, (self.side, self.side))
        return windows.reshape(-1, self.side**2)


def rivals(case: Case, names: tuple[str, ...], clean: Images) -> dict[str, tuple[Method, dict[str, float]]]:
    """Methods, with what was chosen for them on training images."""
    some = [clean[place] for place in np.random.default_rng(1).permutation(len(clean))[:TUNED_ON]]
    some = middle(some, min(MIDDLE, *some[0].shape))
    noisy, sigma = case.noise(some, seed=1), case.noise.strength
    grids: dict[str, tuple[Callable[..., np.ndarray], str, tuple[float, ...]]] = {
        "non-local means": (partial(non_local_means, sigma=sigma), "h", (0.4, 0.6, 0.8, 1.0, 1.2, 1.5)),
        "total variation": (total_variation, "weight", tuple(sigma * np.array([0.3, 0.5, 0.7, 0.9, 1.2, 1.6]))),
        "median": (median, "size", (3, 5, 7)),
    }
    chosen: dict[str, tuple[Method, dict[str, float]]] = {}
    for name in names:
        if name in grids:
            method, parameter, grid = grids[name]
            tried = {value: figures(some, [method(image, **{parameter: value}) for image in noisy]) for value in grid}
            best = max(grid, key=lambda value: tried[value]["psnr_db"])
            chosen[name] = (partial(method, **{parameter: best}), {parameter: best})
    if "BM3D" in names:
        chosen["BM3D"] = (lambda image: bm3d.bm3d(image, sigma_psd=sigma), {})
    if "biharmonic" in names:
        chosen["biharmonic"] = (biharmonic, {})
    if "PCA-Wiener" in names:
        whole = case.data == "fashion"
        side = clean[0].shape[0] if whole else 8
        chosen["PCA-Wiener"] = (Wiener(clean[:WIENER_IMAGES], sigma, side), {"side": side})
    return chosen


# --- figures ---------------------------------------------------------------------------------------------------------


def figures(clean: Images, made: Images) -> dict[str, float]:
    """Mean PSNR and SSIM over images."""
    pairs = [
        (one[None, None].astype(np.float64), np.clip(other, 0, 255)[None, None])
        for one, other in zip(clean, made, strict=True)
    ]
    decibels = [float(psnr(squared_errors(*pair))[0]) for pair in pairs]
    return {"psnr_db": float(np.mean(decibels)), "ssim": float(np.mean([ssim(*pair)[0] for pair in pairs]))}


def timed(method: Method, clean: Images, noisy: Images) -> dict[str, float]:
    """Figures of a method, and seconds an image."""
    method(noisy[0])
    began = time.perf_counter()
    made = [method(image) for image in noisy]
    seconds = (time.perf_counter() - began) / len(noisy)
    return {**figures(clean, made), "seconds_an_image": seconds}


def ours(model: Path) -> Method:
    """A trained model as a method."""
    fitted = load(model).model

    def method(noisy: np.ndarray) -> np.ndarray:
        gaps = np.isnan(noisy)
        image = torch.from_numpy(np.where(gaps, 0.0, noisy).astype(np.float32))[None, None]
        if not fitted.network.around:
            return reconstructed(fitted, image)[0, 0].numpy()
        hidden = torch.from_numpy(gaps)[None, None] if gaps.any() else None
        return restored(fitted, image, hidden=hidden)[0, 0].numpy()

    return method


def trained(data: str, model: Path, preset: str, minutes: float, plan: tuple[str, ...], *settings: str) -> str:
    """Train, and return the line that did."""
    words = ["--preset", preset, "--minutes", str(minutes), *plan, "--set", *settings]
    narrows("train", data, "-o", str(model), *words)
    return f"narrows train DATA {' '.join(words)}"


def against_rivals(case: Case, minutes: float, images: int, folder: Path) -> dict[str, Any]:
    """Ours and the rivals of a case, each on the same noisy images."""
    if case.data == "fashion":
        data, training, testing = "fashion-mnist", list(fashion("train")), list(fashion("test"))
    else:
        data, training, testing = str(folder / "clean"), photographs("kodak"), photographs("BSD68")
        (folder / "clean").mkdir()
        write_copies(folder / "clean")
    line = trained(data, folder / "m.safetensors", "denoiser", minutes, case.plan, *case.settings)
    method = ours(folder / "m.safetensors")
    everything = testing
    testing = middle(testing, case.middle)[: images if case.data == "fashion" else None]
    noisy = case.noise(testing)
    told: dict[str, Any] = {"training_line": line, "test_images": len(testing)}
    told["noisy"] = figures(testing, [np.nan_to_num(image, nan=0.0) for image in noisy])
    told["narrows"] = timed(method, testing, noisy)
    if len(everything) > len(testing) or case.middle:
        told["narrows, all test images"] = timed(method, everything, case.noise(everything))
    for name, (rival, chosen) in rivals(case, case.rivals, training).items():
        told[name] = timed(rival, testing, noisy) | {"chosen": chosen}
        print(name, told[name], flush=True)
    if "autoencoder" in case.rivals:
        own = trained(data, folder / "a.safetensors", "denoising", minutes, FASHION_PLAN, "latent.size=64", *SIGMA_50)
        told["autoencoder"] = timed(ours(folder / "a.safetensors"), testing, noisy) | {"training_line": own}
    return told


# --- twins and codes -------------------------------------------------------------------------------------------------

TWIN_NETWORK = ("network.channels=12", "network.stages=2", "network.blocks=1")


@dataclass(frozen=True)
class Twin:
    """How one network is trained: what noise it sees, and the plan that held-out training images chose for it."""

    settings: tuple[str, ...]
    batch_size: int = 32
    rate: float = 0.002

    @property
    def plan(self) -> tuple[str, ...]:
        """Options of `narrows train`."""
        return ("--batch-size", str(self.batch_size), "--rate", str(self.rate), "--average", "0.999")


NOISY_ONLY = ("corruption.sigma=50", "corruption.raw=true")
TWINS = {
    "supervised": Twin(SIGMA_50),
    # Twice the looks at an example: half the examples in a batch.
    "recorrupted": Twin(("corruption=recorrupted", *NOISY_ONLY), batch_size=16, rate=0.004),
    "sure": Twin(("corruption=sure", *NOISY_ONLY)),
    "blind-spot": Twin(("corruption=blind-spot",)),
}


def twins(minutes: float, images: int, folder: Path, ways: list[str]) -> dict[str, Any]:
    """Trained on clean images, and on noisy ones alone, each of which was drawn once."""
    noise = CASES["fashion"].noise
    noisy = np.stack(noise(list(fashion("train")), seed=2)).astype(np.float32)
    np.save(folder / "noisy.npy", noisy)
    testing = list(fashion("test"))[:images]
    given = noise(testing)
    told: dict[str, Any] = {"test_images": len(testing), "noisy": figures(testing, given)}
    for name in ways:
        data = "fashion-mnist" if name == "supervised" else str(folder / "noisy.npy")
        model, twin = folder / f"{name}.safetensors", TWINS[name]
        line = trained(data, model, "denoiser", minutes, twin.plan, *TWIN_NETWORK, *twin.settings)
        told[name] = timed(ours(model), testing, given) | {"training_line": line}
        print(name, told[name], flush=True)
    return told


@dataclass(frozen=True)
class Coder:
    """An autoencoder whose codes are compared."""

    preset: str
    settings: tuple[str, ...] = field(default=())


CODERS = {
    "plain": Coder("autoencoder"),
    "denoising": Coder("denoising", ("corruption.raw=true", "corruption.sigma=50")),
    "denoising, masked": Coder("denoising", ("corruption=mask", "corruption.rate=0.5")),
}
CODE = ("network=mlp", "network.width=512", "network.depth=1", "latent.size=32", "likelihood=gaussian")
CODED_ROWS = 10_000


def robustness(minutes: float, folder: Path, seeds: tuple[int, ...]) -> dict[str, Any]:
    """5-NN accuracy of codes, references clean, questions clean and corrupted."""
    train, test = read("fashion-mnist"), read("fashion-mnist", split="test")
    mean = float(train.values.mean())
    inputs = {
        "clean": list(test.values[:, 0]),
        "gaussian 50": Noise("gaussian", 50)(list(test.values[:, 0])),
        "salt and pepper 30 %": Noise("salt-and-pepper", 0.3)(list(test.values[:, 0])),
        "half black": [np.nan_to_num(image, nan=0.0) for image in Noise("mask", 0.5)(list(test.values[:, 0]))],
        # As the mask of training leaves them.
        "half average": [np.nan_to_num(image, nan=mean) for image in Noise("mask", 0.5)(list(test.values[:, 0]))],
    }
    told: dict[str, Any] = {"training_lines": {}, "accuracy": {}}
    for name, coder in CODERS.items():
        for seed in seeds:
            model = folder / "c.safetensors"
            plan = (*FASHION_PLAN, "--seed", str(seed))
            line = trained("fashion-mnist", model, coder.preset, minutes, plan, *CODE, *coder.settings)
            told["training_lines"][name] = line
            fitted = load(model).model
            references = codes(fitted, torch.from_numpy(train.values[:CODED_ROWS])).numpy()
            near = KNeighborsClassifier(5).fit(references, train.labels[:CODED_ROWS])
            for question, images in inputs.items():
                asked = codes(fitted, torch.from_numpy(np.stack(images).astype(np.float32)[:, None])).numpy()
                accuracies = told["accuracy"].setdefault(question, {}).setdefault(name, [])
                accuracies.append(float(np.mean(near.predict(asked) == test.labels)))
        print(name, {question: by_coder[name] for question, by_coder in told["accuracy"].items()}, flush=True)
    return told


def main() -> None:
    """Run the cases that are asked for."""
    minutes = {**{name: case.minutes for name, case in CASES.items()}, "twins": 20.0, "codes": 2.0}
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--only", nargs="+", choices=list(minutes), default=list(minutes))
    parser.add_argument("--minutes", type=float, help="of training, in place of those of the case")
    parser.add_argument("--images", type=int, default=500, help="of Fashion-MNIST, for all methods")
    parser.add_argument("--seeds", nargs="+", type=int, default=[0, 1, 2], help="of codes")
    parser.add_argument("--ways", nargs="+", choices=list(TWINS), default=list(TWINS), help="of twins")
    options = parser.parse_args()
    for name in options.only:
        began, time_given = time.perf_counter(), options.minutes or minutes[name]
        with tempfile.TemporaryDirectory() as place:
            if name == "twins":
                told = twins(time_given, options.images, Path(place), options.ways)
            elif name == "codes":
                told = robustness(time_given, Path(place), tuple(options.seeds))
            else:
                told = against_rivals(CASES[name], time_given, options.images, Path(place))
        told |= {"minutes": time_given, "threads": torch.get_num_threads()}
        print(name, told, flush=True)
        if time_given >= minutes[name]:
            record(f"denoise_{name}", told, seconds=time.perf_counter() - began)


if __name__ == "__main__":
    main()
