"""Noise taken out of folders, zip files, single images and arrays."""

import json
import zipfile

import numpy as np
import pytest
from PIL import Image

from narrows import load
from narrows.cli import run
from narrows.restore import restored
from narrows.tensors import tensor_of

SIGMA = 30


def drawing(seed, height=48, width=40):
    """A few grey rectangles on a slope."""
    rng = np.random.default_rng(seed)
    image = np.linspace(60, 120, width)[None].repeat(height, 0)
    for _ in range(4):
        row, column = rng.integers(0, height - 12), rng.integers(0, width - 12)
        image[row : row + rng.integers(6, 24), column : column + rng.integers(6, 24)] = rng.integers(20, 230)
    return image


def noisy(image, seed, high=255):
    drawn = image + SIGMA * np.random.default_rng(seed).normal(size=image.shape)
    return np.rint(drawn.clip(0, 255) * (high / 255)).astype(np.uint8 if high == 255 else np.uint16)


def trained(folder, high=255):
    (folder / "clean").mkdir()
    for seed in range(12):
        size = (48, 40) if seed % 2 else (40, 52)
        clean = (drawing(seed, *size).astype(np.uint8) * np.array(high // 255)).astype(f"uint{high.bit_length()}")
        Image.fromarray(clean).save(folder / "clean" / f"{seed}.png")
    words = ["train", str(folder / "clean"), "-o", str(folder / "m.safetensors"), "--preset", "denoiser"]
    words += ["--tile", "16", "--epochs", "12", "--batch-size", "32", "--rate", "0.005", "--set"]
    words += ["network.channels=8", "network.stages=1", "corruption.raw=true"]
    assert run([*words, f"corruption.sigma={SIGMA * high // 255}", "corruption.widest=none"]) == 0
    return folder / "m.safetensors"


@pytest.fixture(scope="module")
def denoiser(tmp_path_factory):
    return trained(tmp_path_factory.mktemp("denoiser"))


def error(image, clean):
    return float(np.square(image.astype(float) - clean).mean())


def test_a_folder_of_mixed_sizes_modes_and_depths(denoiser, here, done):
    (here / "in" / "deeper").mkdir(parents=True)
    clean, wide = drawing(100), drawing(101, 70, 90)
    Image.fromarray(noisy(clean, 0)).save(here / "in" / "grey.png")
    Image.fromarray(noisy(wide, 1, high=65535)).save(here / "in" / "deep.png")
    colour = np.stack([noisy(clean, seed) for seed in (2, 3, 4)] + [np.full(clean.shape, 9, np.uint8)], 2)
    Image.fromarray(colour).save(here / "in" / "deeper" / "seen-through.png")
    told = json.loads(done("denoise", denoiser, "in", "-o", "out", "--json"))
    assert (told["file"], told["images"], told["notes"]) == ("out", 3, [])
    assert told["noise"] == "gaussian (sigma=30.0, widest=None, raw=True)"
    grey, deep, through = (
        np.asarray(Image.open(here / "out" / name)) for name in ("grey.png", "deep.png", "deeper/seen-through.png")
    )
    assert (grey.dtype, grey.shape) == (np.uint8, clean.shape)
    assert error(grey, clean) < 0.35 * error(noisy(clean, 0), clean)
    assert (deep.dtype, deep.shape) == (np.uint16, wide.shape)
    assert error(deep / 257, wide) < 0.35 * error(noisy(wide, 1), wide)
    assert len(np.unique(deep)) > 1000
    assert (through[:, :, 3] == 9).all()
    for channel in range(3):
        assert error(through[:, :, channel], clean) < 0.35 * error(colour[:, :, channel], clean)


def test_a_model_of_deep_images_takes_those_of_either_depth(tmp_path, here, done):
    """In their own range, which is wider than that of the images that it learnt from."""
    model = trained(tmp_path, high=65535)
    clean = drawing(100) * 1.2 - 45
    (here / "in").mkdir()
    for high in (255, 65535):
        Image.fromarray(noisy(clean, 0, high=high)).save(here / "in" / f"{high}.png")
    done("denoise", model, "in", "-o", "out")
    for high in (255, 65535):
        made, given = (np.asarray(Image.open(here / folder / f"{high}.png")) for folder in ("out", "in"))
        assert made.dtype == given.dtype
        seen = clean.clip(0, 255)
        assert error(made * (255 / high), seen) < 0.4 * error(given * (255 / high), seen)


def test_a_model_of_numbers_up_to_one_takes_no_pixels(here, done, refused):
    np.save(here / "x.npy", np.stack([drawing(seed, 16, 16) / 255 for seed in range(20)]).astype(np.float32))
    settings = ("--set", "network.channels=4", "network.stages=1")
    done("train", "x.npy", "-o", "m.safetensors", "--preset", "denoiser", "--epochs", "1", *settings)
    Image.fromarray(drawing(1).astype(np.uint8)).save(here / "a.png")
    refused("denoise", "m.safetensors", "a.png", "-o", "b.png", says="these pixels are whole numbers up to 255")


def test_a_denoiser_has_no_code_units_to_find_fault_with(denoiser):
    assert not [found for found in load(denoiser).record["findings"] if "units" in found["what"]]


def test_a_folder_that_is_there_is_not_written_into(denoiser, here, refused):
    (here / "out").mkdir()
    (here / "in").mkdir()
    Image.fromarray(noisy(drawing(1), 0)).save(here / "in" / "a.png")
    refused("denoise", denoiser, "in", "-o", "out", says="out is a folder; give the name of a file or a new folder")


def test_it_is_what_restored_gives(denoiser, here, done):
    image = noisy(drawing(100), 0)
    Image.fromarray(image).save(here / "a.png")
    done("denoise", denoiser, "a.png", "-o", "b.png")
    expected = restored(load(denoiser).model, tensor_of(image[None, None]))[0, 0].numpy()
    assert np.array_equal(np.asarray(Image.open(here / "b.png")), np.rint(expected).clip(0, 255))


def test_pictures_stay_upright_and_keep_their_names(denoiser, here, done):
    (here / "in").mkdir()
    exif = Image.Exif()
    exif[0x0112] = 6  # turned by a quarter
    Image.fromarray(noisy(drawing(100, 30, 50), 0)).save(here / "in" / "turned.jpg", exif=exif)
    with zipfile.ZipFile(here / "in.zip", "w") as archive:
        archive.write(here / "in" / "turned.jpg", "turned.jpg")
    told = json.loads(done("denoise", denoiser, "in.zip", "-o", "out.zip", "--json"))
    assert "their names end in .png" in told["notes"][0]
    with zipfile.ZipFile(here / "out.zip") as archive, archive.open("turned.png") as file, Image.open(file) as image:
        assert image.size == (30, 50)


@pytest.mark.parametrize("dtype", [np.uint8, np.float64])
def test_arrays_keep_their_type_and_shape(denoiser, here, done, dtype):
    clean = np.stack([drawing(seed) for seed in range(200, 203)])
    given = noisy(clean, 5).astype(dtype)
    for name, array in (("grey.npy", given), ("colour.npy", np.stack([given] * 3, 3))):
        np.save(here / name, array)
        told = json.loads(done("denoise", denoiser, name, "-o", "out.npy", "--json"))
        made = np.load(here / "out.npy")
        assert (told["images"], made.dtype, made.shape) == (3, array.dtype, array.shape)
        made = made if made.ndim == 3 else made.mean(3)
        assert error(made, clean) < 0.35 * error(given, clean)


def test_bits_and_other_orders_of_bytes(denoiser, here, done):
    given = noisy(np.stack([drawing(seed) for seed in range(2)]), 0)
    for name, array in (
        ("here.npy", given.astype("<f8")),
        ("there.npy", given.astype(">f8")),
        ("bits.npy", given > 99),
    ):
        np.save(here / name, array)
        done("denoise", denoiser, name, "-o", f"out-{name}")
    first, second, bits = (np.load(here / f"out-{name}.npy") for name in ("here", "there", "bits"))
    assert second.dtype == ">f8"
    assert np.array_equal(first, second)
    assert bits.dtype == np.float32
    assert len(np.unique(bits)) > 2


def test_refusals(denoiser, models, here, refused):
    np.save(here / "rows.npy", np.zeros((3, 4)))
    np.save(here / "images.npy", np.zeros((2, 9, 9), np.uint8))
    (here / "empty").mkdir()
    Image.fromarray(np.zeros((9, 9, 3), np.uint8)).save(here / "small.png")
    refused("denoise", models / "point.safetensors", "images.npy", "-o", "o.npy", says="train preset denoiser")
    table = models / "table.safetensors"
    refused("denoise", table, "images.npy", "-o", "o.npy", says="train preset denoiser")
    corrupted = ["--preset", "denoising", "--epochs", 1, "--set", "network.width=4"]
    assert run([str(word) for word in ["train", models / "table.csv", "-o", here / "t.safetensors", *corrupted]]) == 0
    refused("denoise", "t.safetensors", "images.npy", "-o", "o.npy", says="take narrows reconstruct")
    np.save(here / "hole.npy", np.where(np.arange(162).reshape(2, 9, 9) == 100, np.nan, 1.0))
    refused(
        "denoise", denoiser, "hole.npy", "-o", "o.npy", says="from image 0 on, holds NaN or infinite values in 1 cell"
    )
    refused("denoise", denoiser, "rows.npy", "-o", "o.npy", says="take narrows reconstruct")
    refused("denoise", denoiser, "images.npy", "-o", "o.png", says="suffix .png")
    refused("denoise", denoiser, "small.png", "-o", "o.npy", says="suffix .npy")
    refused("denoise", denoiser, "empty", "-o", "out", says="holds no images")
    refused("denoise", denoiser, "small.png", "-o", "o.png", "--tile", 4, says="leave it out")
    refused("train", "small.png", "-o", "m.safetensors", "--tile", 16, says="larger; take a smaller tile")
    refused("train", "images.npy", "-o", "m.safetensors", "--tile", 4, says="tile cuts images of a folder")
    refused("train", "small.png", "-o", "m.safetensors", "--tile", 1, says="tile was given as 1")
    (here / "broken").mkdir()
    (here / "broken" / "a.png").write_bytes((here / "small.png").read_bytes()[:40])
    refused("denoise", denoiser, "broken", "-o", "out", says="a.png")
    (here / "mixed").mkdir()
    for name, shape in (("a", (9, 9)), ("b", (9, 9, 3))):
        Image.fromarray(np.zeros(shape, np.uint8)).save(here / "mixed" / f"{name}.png")
    refused("train", "mixed", "-o", "m.safetensors", "--tile", 4, says="to one mode")


def striped(image):
    """What no corruption of ours makes: every other column darker."""
    dark = image.astype(float)
    dark[:, ::2] *= 0.6
    return dark.astype(np.uint8)


def test_noise_of_the_users_own_is_learnt_from_pairs(here, done, refused):
    for folder in ("clean", "noisy", "fewer", "new"):
        (here / folder).mkdir()
    for seed in range(12):
        image = drawing(seed).astype(np.uint8)
        Image.fromarray(image).save(here / "clean" / f"{seed:02}.png")
        Image.fromarray(striped(image)).save(here / "noisy" / f"{seed:02} in less light.png")
    Image.fromarray(image).save(here / "fewer" / "one.png")
    train = ["train", "clean", "-o", "m.safetensors", "--tile", 16, "--epochs", 12, "--batch-size", 32, "--rate", 0.005]
    small = ["--preset", "denoiser", "--set", "network.channels=8", "network.stages=1"]
    done(*train, "--noisy", "noisy", *small)
    clean = drawing(100)
    Image.fromarray(striped(clean)).save(here / "new" / "a.png")
    told = json.loads(done("denoise", "m.safetensors", "new", "-o", "out", "--json"))
    assert told["noise"] == "own"
    made = np.asarray(Image.open(here / "out" / "a.png"))
    assert error(made, clean) < 0.2 * error(striped(clean), clean)
    refused(*train, "--noisy", "fewer", *small, says="one noisy version of each, in the same order")
    refused(*train, "--noisy", "missing", *small, says="missing")
    refused(*train, *small, "corruption=own", says="give narrows train --noisy")
    refused(*train, "--noisy", "noisy", *small, "corruption=gaussian", says="set corruption=own")
    refused(*train, "--noisy", "noisy", "--preset", "detector", says="--noisy is for models that denoise")


def test_hidden_pixels_are_filled_in(here, done, refused):
    for folder in ("clean", "seen", "hidden"):
        (here / folder).mkdir()
    for seed in range(12):
        Image.fromarray(drawing(seed).astype(np.uint8)).save(here / "clean" / f"{seed}.png")
    train = ["train", "clean", "-o", "m.safetensors", "--tile", 16, "--epochs", 12, "--batch-size", 32, "--rate", 0.005]
    choices = ["network.channels=8", "network.stages=1", "corruption=mask", "corruption.rate=0.5"]
    done(*train, "--preset", "denoiser", "--set", *choices)
    clean = np.stack([drawing(seed).astype(np.uint8) for seed in (100, 101)])
    gaps = np.random.default_rng(0).uniform(size=clean.shape) < 0.5
    seen = np.where(gaps, 0, clean).astype(np.uint8)
    for name, image, mask in zip("ab", seen, gaps, strict=True):
        Image.fromarray(image).save(here / "seen" / f"{name}.png")
        Image.fromarray(mask).save(here / "hidden" / f"{name}.png")
    done("denoise", "m.safetensors", "seen", "--hidden", "hidden", "-o", "out")
    made = np.stack([np.asarray(Image.open(here / "out" / f"{name}.png")) for name in "ab"])
    assert np.array_equal(made[~gaps], clean[~gaps])
    assert error(made, clean) < 0.02 * error(seen, clean)
    np.save(here / "gaps.npy", np.where(gaps, np.nan, clean).astype(np.float32))
    done("denoise", "m.safetensors", "gaps.npy", "-o", "filled.npy")
    np.testing.assert_allclose(np.load(here / "filled.npy").clip(0, 255), made, atol=0.501)
    np.save(here / "whole.npy", clean)
    done("denoise", "m.safetensors", "whole.npy", "-o", "same.npy")
    assert np.array_equal(np.load(here / "same.npy"), clean)
    done("denoise", "m.safetensors", "seen", "--hidden", "hidden/a.png", "-o", "all")
    assert np.array_equal(np.asarray(Image.open(here / "all" / "a.png")), made[0])
    (here / "one").mkdir()
    Image.fromarray(gaps[0]).save(here / "one" / "a.png")
    Image.fromarray(gaps[0, :5]).save(here / "short.png")
    refused("denoise", "m.safetensors", "seen", "-o", "no", says="say which with --hidden")
    refused("denoise", "m.safetensors", "seen", "-o", "no", "--hidden", "one", says="one for each of the 2 images")
    refused("denoise", "m.safetensors", "seen", "-o", "no", "--hidden", "gaps.npy", says="takes one image")
    refused("denoise", "m.safetensors", "seen", "-o", "no", "--hidden", "short.png", says="of it 5 x 40")
    refused("denoise", "m.safetensors", "gaps.npy", "-o", "no.npy", "--hidden", "hidden", says="leave it out")
    assert not (here / "no").exists()


def test_a_model_that_fills_in_nothing(denoiser, here, refused):
    Image.fromarray(np.zeros((9, 9), np.uint8)).save(here / "a.png")
    refused("denoise", denoiser, "a.png", "-o", "b.png", "--hidden", "a.png", says="--set corruption=mask")
