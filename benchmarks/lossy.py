"""Lossy compression against JPEG, WebP, JPEG XL and AVIF on Fashion-MNIST: bytes of real files, PSNR, SSIM, BD-rate.

One model of preset lossy is trained on the training images and writes the 10,000 test images, all in one file, at
several qualities. The other formats write each image at many settings; of all their files the best one is taken image
by image, in two ways:

target      the smallest file with at least so many decibels, for targets half a decibel apart; a point of the curve is
            the mean of the bytes and the mean of the PSNR over images
optimum     the file with the least of bytes + m * squared error, for many m; a point is the mean of the bytes and the
            PSNR of the mean squared error, of which no other choice of files has more for the bytes

The BD-rate (Bjontegaard 2001) is that of ours against theirs on points of the same making: the mean difference of the
logarithm of the bytes at equal PSNR from 25 to 35 dB, by monotone cubic interpolation (PCHIP), as a share of bytes.
"Bare" files are stripped of all that tells what they hold: markers, boxes and tables, which a decoder could be told
otherwise. Ours is always the whole file.

    NARROWS_DATA=... python benchmarks/lossy.py [--images 10000] [--minutes 15] [--models FOLDER]
"""

from __future__ import annotations

import argparse
import io
import tempfile
import time
from collections.abc import Iterator
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image
from scipy.interpolate import PchipInterpolator

from narrows import load
from narrows.apps.train import train
from narrows.compression.archive import written
from narrows.compression.compressor import Work
from narrows.compression.files import compressor_for, save_codec
from narrows.compression.quality import psnr, squared_errors, ssim
from narrows.data.frames import open_frames
from narrows.plan import Plan
from record import record

BAND = (25.0, 35.0)
QUALITIES = (1, 8, 16, 24, 32, 40, 48, 56, 64, 72)
TARGETS = np.arange(21.0, 38.0, 0.5)
MULTIPLIERS = np.geomspace(0.02, 20, 60)
EXACT = 0.1  # squared error, 58 dB, to which a smaller one is raised
CHUNK = 250


@dataclass(frozen=True)
class Format:
    """A format as Pillow writes it, at its slowest and best, and its settings from coarse to fine."""

    name: str
    options: tuple[dict[str, Any], ...]
    qualities: tuple[int, ...]
    mode: str = "L"


FORMATS = (
    Format(
        "JPEG",
        ({"optimize": True}, {"optimize": True, "progressive": True}),
        (8, 11, 14, 18, 22, 26, 31, 36, 42, 48, 55, 62, 68, 74, 79, 84, 88, 92),
    ),
    Format(
        "WebP", ({"method": 6},), (0, 2, 4, 6, 9, 12, 16, 20, 25, 30, 36, 42, 48, 55, 62, 68, 74, 80, 85, 90), "RGB"
    ),
    Format(
        "JXL",
        ({"effort": 9, "num_threads": 1},),
        (6, 10, 15, 20, 25, 30, 36, 42, 48, 54, 60, 66, 71, 76, 80, 84, 87, 90, 92),
    ),
    Format(
        "AVIF",
        ({"speed": 0, "subsampling": "4:0:0", "max_threads": 1},),
        (0, 4, 8, 12, 16, 20, 24, 28, 32, 36, 40, 44, 48, 52, 57, 63),
        "RGB",
    ),
)


def bd_rate(points: np.ndarray, against: np.ndarray, band: tuple[float, float] = BAND) -> float:
    """Mean difference of ln(bytes) at equal PSNR, as a share: -0.6 says 60 % fewer bytes.

    Parameters
    ----------
    points, against : array, shape (n, 2)
        Bytes and PSNR, the PSNR rising and reaching over both ends of the band.
    band : pair of float
        Ends of the PSNR.
    """
    means = []
    for curve in (points, against):
        if not curve[0, 1] <= band[0] < band[1] <= curve[-1, 1]:
            raise ValueError(f"a curve goes from {curve[0, 1]:.2f} to {curve[-1, 1]:.2f} dB, not over {band}")
        rate = PchipInterpolator(curve[:, 1], np.log(curve[:, 0]))
        means.append(rate.integrate(*band) / (band[1] - band[0]))
    return float(np.exp(means[0] - means[1]) - 1)


def bytes_at(curve: np.ndarray, decibels: float) -> float:
    return float(np.exp(PchipInterpolator(curve[:, 1], np.log(curve[:, 0]))(decibels)))


def bare_jpeg(file: bytes) -> int:
    """Bytes of the entropy-coded scans."""
    length, place = 0, 2
    while file[place + 1] != 0xD9:
        scan = file[place + 1] == 0xDA
        place += 2 + int.from_bytes(file[place + 2 : place + 4], "big")
        if scan:
            start = place
            while file[place] != 0xFF or file[place + 1] == 0 or 0xD0 <= file[place + 1] <= 0xD7:
                place += 1
            length += place - start
    return length


def bare_webp(file: bytes) -> int:
    """All but the RIFF header, that of the chunk, and that of the frame."""
    assert file[12:16] == b"VP8 "
    return len(file) - 30


def bare_avif(file: bytes) -> int:
    """Bytes of the frame alone, without boxes and sequence header."""
    place, length = file.index(b"mdat") + 4, 0
    while place < len(file):
        kind, extended = file[place] >> 3 & 15, file[place] >> 2 & 1
        size, shift, place = 0, 0, place + 1 + extended
        while True:
            size |= (file[place] & 127) << shift
            shift, place = shift + 7, place + 1
            if not file[place - 1] & 128:
                break
        length += size if kind in (3, 4, 6) else 0
        place += size
    return length


def in_common(files: list[bytes]) -> int:
    """Bytes in which the files begin alike."""
    shortest = min(map(len, files))
    rows = np.array([np.frombuffer(file[:shortest], np.uint8) for file in files])
    alike = (rows == rows[0]).all(0)
    return shortest if alike.all() else int(alike.argmin())


BARE = {"JPEG": bare_jpeg, "WebP": bare_webp, "AVIF": bare_avif}
TOC = 2  # bytes of the table of contents of a JPEG XL frame, which tells the length of the rest


def files_of(form: Format, quality: int, images: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Bytes, bytes of the bare file, and the image decoded, of each image at one setting."""
    sizes, bare, decoded, begun = [], [], [], []
    for image in images:
        made = []
        for options in form.options:
            stream = io.BytesIO()
            Image.fromarray(image).convert(form.mode).save(stream, form.name, quality=quality, **options)
            made.append(stream.getvalue())
        sizes.append(min(map(len, made)))
        if form.name in BARE:
            bare.append(min(map(BARE[form.name], made)))
        begun += made
        decoded.append(np.array(Image.open(io.BytesIO(made[0])).convert("L")))
    if form.name not in BARE:
        bare = [size - in_common(begun) - TOC for size in sizes]
    return np.array(sizes), np.array(bare), np.array(decoded)


def _measured(job: tuple[Format, int, np.ndarray]) -> np.ndarray:
    """Bytes, bare bytes, squared error and SSIM of each image, (n, 4)."""
    import pillow_jxl  # noqa: F401  makes Pillow know JPEG XL

    form, quality, images = job
    sizes, bare, decoded = files_of(form, quality, images)
    return np.stack(
        [sizes, bare, squared_errors(images[:, None], decoded[:, None]), ssim(images[:, None], decoded[:, None])], 1
    )


def others(images: np.ndarray, workers: int) -> dict[str, np.ndarray]:
    """What `_measured` says of each format: (settings, n, 4)."""
    chunks = [images[start : start + CHUNK] for start in range(0, len(images), CHUNK)]
    measured = {}
    with ProcessPoolExecutor(workers) as pool:
        for form in FORMATS:
            rows = [
                np.concatenate(list(pool.map(_measured, [(form, quality, chunk) for chunk in chunks])))
                for quality in form.qualities
            ]
            measured[form.name] = np.stack(rows)
            print(form.name, measured[form.name].mean(1).round(2).tolist(), flush=True)
    return measured


def at_targets(sizes: np.ndarray, errors: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Points (targets, 2) of the smallest files that reach a target, and the file taken of each image (targets, n).

    Only of targets that some file of every image reaches.
    """
    decibels = psnr(np.maximum(errors, EXACT))
    reached = TARGETS[decibels.max(0).min() >= TARGETS]
    chosen = np.stack([np.where(decibels >= target, sizes, np.inf).argmin(0) for target in reached])
    taken = [np.take_along_axis(part, chosen, 0).mean(1) for part in (sizes, decibels)]
    return np.stack(taken, 1), chosen


def at_optimum(sizes: np.ndarray, errors: np.ndarray) -> np.ndarray:
    """Points (distinct, 2) of the files that are best for some multiplier."""
    chosen = np.stack([(sizes + m * errors).argmin(0) for m in MULTIPLIERS])
    mean_sizes, mean_errors = (np.take_along_axis(part, chosen, 0).mean(1) for part in (sizes, errors))
    return rising(np.stack([mean_sizes, psnr(mean_errors)], 1))


def rising(points: np.ndarray) -> np.ndarray:
    """Points whose PSNR is above that of all before."""
    best = np.maximum.accumulate(np.append(-np.inf, points[:-1, 1]))
    return points[points[:, 1] > best]


def ours(model: Path, images: np.ndarray) -> Iterator[dict[str, Any]]:
    """What one file of all images takes at each quality, and what it gives back."""
    codec = compressor_for(load(model).model)
    with tempfile.TemporaryDirectory() as scratch:
        source = Path(scratch) / "images.npy"
        np.save(source, images)
        for quality in QUALITIES:
            start, kept = time.perf_counter(), []
            path = Path(scratch) / "made.nrw"
            with path.open("wb") as file:
                kept = [
                    chunk.kept for chunk in written(file, codec.at_quality(quality), open_frames(str(source)), Work())
                ]
            decoded = np.concatenate(kept).reshape(-1, 1, *images.shape[1:])
            errors = squared_errors(images[:, None], decoded)
            row = {
                "quality": quality,
                "step": 2 * codec.at_quality(quality).near + 1,
                "file_bytes": path.stat().st_size,
                "bytes_per_image": path.stat().st_size / len(images),
                "psnr_mean_db": float(psnr(np.maximum(errors, EXACT)).mean()),
                "psnr_of_mean_error_db": float(psnr(errors.mean())),
                "ssim_mean": float(ssim(images[:, None], decoded).mean()),
                "seconds_with_verification": time.perf_counter() - start,
            }
            print(row, flush=True)
            yield row


def compared(rows: list[dict[str, Any]], measured: dict[str, np.ndarray]) -> dict[str, Any]:
    """BD-rates of ours against the best of all and against each format, and bytes at a few PSNR."""
    own = {
        "target": np.array([[row["bytes_per_image"], row["psnr_mean_db"]] for row in rows]),
        "optimum": np.array([[row["bytes_per_image"], row["psnr_of_mean_error_db"]] for row in rows]),
    }
    figures: dict[str, Any] = {}
    for column, name in ((0, "files"), (1, "bare")):
        contenders = {"best of all": np.concatenate(list(measured.values())), **measured}
        for contender, files in contenders.items():
            sizes, errors = files[..., column], files[..., 2]
            curves = {"target": rising(at_targets(sizes, errors)[0]), "optimum": at_optimum(sizes, errors)}
            for way, curve in curves.items():
                low, high = BAND  # a format by itself need not reach over all of it
                whole = curve[0, 1] <= low and high <= curve[-1, 1]
                entry = {"bd_rate": bd_rate(own[way], curve) if whole or contender == "best of all" else None}
                for decibels in (25, 30, 35):
                    entry[f"bytes_at_{decibels}_db"] = bytes_at(curve, decibels)
                    entry[f"ours_at_{decibels}_db"] = bytes_at(own[way], decibels)
                figures.setdefault(name, {}).setdefault(way, {})[contender] = entry
    return figures


def shares(measured: dict[str, np.ndarray], column: int) -> dict[str, float]:
    """How often each format has the smallest file at the targets within the band."""
    files = np.concatenate(list(measured.values()))
    names = np.repeat(list(measured), [len(part) for part in measured.values()])
    _, chosen = at_targets(files[..., column], files[..., 2])
    low, high = BAND
    within = chosen[(low <= TARGETS[: len(chosen)]) & (TARGETS[: len(chosen)] <= high)]
    return {name: float((names[within] == name).mean()) for name in measured}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--images", type=int, default=10_000)
    parser.add_argument("--minutes", type=float, default=15)
    parser.add_argument("--workers", type=int, default=2)
    parser.add_argument("--models", type=Path, default=None)
    options = parser.parse_args()
    start = time.perf_counter()
    with tempfile.TemporaryDirectory() as scratch:
        models = options.models or Path(scratch)
        models.mkdir(parents=True, exist_ok=True)
        model = models / "lossy.safetensors"
        if not model.exists():
            train("fashion-mnist", model, preset="lossy", plan=Plan(minutes=options.minutes))
        save_codec(compressor_for(load(model).model), models / "lossy.codec")
        images = np.concatenate([block.values for block in open_frames("fashion-mnist:test")])[: options.images, 0]
        rows = list(ours(model, images))
        measured = others(images, options.workers)
        figures = {
            "images": len(images),
            "training_minutes": load(model).record["seconds"] / 60,
            "codec_file_bytes": (models / "lossy.codec").stat().st_size,
            "ours": rows,
            "against": compared(rows, measured),
            "share_of_smallest_files": {"files": shares(measured, 0), "bare": shares(measured, 1)},
            "others": {
                form.name: [
                    {
                        "quality": quality,
                        "bytes": float(part[:, 0].mean()),
                        "bare_bytes": float(part[:, 1].mean()),
                        "psnr_mean_db": float(psnr(np.maximum(part[:, 2], EXACT)).mean()),
                        "psnr_of_mean_error_db": float(psnr(part[:, 2].mean())),
                        "ssim_mean": float(part[:, 3].mean()),
                    }
                    for quality, part in zip(form.qualities, measured[form.name], strict=True)
                ]
                for form in FORMATS
            },
        }
    for name, ways in figures["against"].items():
        for way, contenders in ways.items():
            rates = {contender: entry["bd_rate"] for contender, entry in contenders.items()}
            print(name, way, {contender: rate and round(100 * rate, 1) for contender, rate in rates.items()})
    if options.images == 10_000:
        record("lossy", figures, seconds=time.perf_counter() - start, protocol=__doc__)


if __name__ == "__main__":
    main()
