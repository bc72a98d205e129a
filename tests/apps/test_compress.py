"""Data into small files and back from the command line: nothing is lost, and what cannot be is refused in one line."""

import importlib.util
import json
import shutil
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from narrows.coding.container import Reader
from narrows.coding.framing import VERSION
from narrows.compression import archive
from narrows.compression.files import fingerprint, load_codec
from narrows.data.schema import Schema
from narrows.model import Model
from narrows.persist import Fitted, save
from narrows.presets import choose

GOLDEN = Path(__file__).parents[1] / "golden"
CODECS = {kind: GOLDEN / f"{kind}-v{VERSION}.codec" for kind in ("local", "local-bits-back", "bits-back")}


@pytest.fixture(scope="module")
def images():
    """Grey images that the golden codecs know."""
    spec = importlib.util.spec_from_file_location("make_codecs", GOLDEN / "make_codecs.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module.images(40)[:, 0]


@pytest.fixture(params=CODECS)
def codec(request):
    return CODECS[request.param]


@pytest.fixture
def local():
    return CODECS["local"]


@pytest.fixture
def data(here, images):
    """An array, x.npy, of 40 images in chunks of 10 as it is compressed."""
    np.save(here / "x.npy", images)
    return "x.npy"


@pytest.fixture
def small_chunks(monkeypatch):
    monkeypatch.setattr(archive, "CHUNK_CELLS", 640)


def untrained(path, preset, schema, **settings):
    save(Fitted(Model(choose(preset, schema, settings), schema, seed=0).eval(), preset), path)


# --- There and back --------------------------------------------------------------------------------------------------


def test_an_array_comes_back_as_it_was(codec, data, images, here, done):
    told = json.loads(done("compress", codec, data, "-o", "x.nrw", "--json"))
    size = (here / "x.nrw").stat().st_size
    assert told["file"] == "x.nrw"
    assert (told["examples"], told["raw_bytes"]) == (40, images.size)
    assert (told["file_bytes"], told["model_bytes"]) == (size, codec.stat().st_size)
    assert told["file_bits_per_cell"] == pytest.approx(8 * size / images.size)
    assert told["with_model_bits_per_cell"] == pytest.approx(8 * (size + codec.stat().st_size) / images.size)
    assert told["bound_bits_per_cell"] < told["net_bits_per_cell"] < told["file_bits_per_cell"] < 8
    assert told["stored_chunks"] == 0
    assert told["psnr_db"] is told["ssim"] is None
    back = json.loads(done("decompress", codec, "x.nrw", "-o", "y.npy", "--json"))
    assert back == {"file": "y.npy", "examples": 40, "lost": [], "notes": []}
    assert (here / "y.npy").read_bytes() == (here / data).read_bytes()


def test_how_the_work_is_done_changes_no_byte(codec, here, images, done, small_chunks):
    np.save(here / "x.npy", images[:12])
    ways = [(), ("--plain",), ("--batch", 1), ("--plain", "--batch", 3)]
    for place, way in enumerate(ways):
        done("compress", codec, "x.npy", "-o", f"{place}.nrw", *way)
        done("decompress", codec, "0.nrw", "-o", f"{place}.npy", *ways[-1 - place])
    assert len({(here / f"{place}.nrw").read_bytes() for place in range(4)}) == 1
    assert {(here / f"{place}.npy").read_bytes() for place in range(4)} == {(here / "x.npy").read_bytes()}


def test_a_folder_of_images_keeps_its_names(local, here, images, done):
    """Grey images, colour ones and others of another size under one model of grey images of 8 x 8 pixels."""
    r = np.random.default_rng(0)
    pictures = {
        "a b.png": images[0],
        "ä.png": images[1],
        "deep/er/c.png": np.stack([images[2]] * 3, axis=2),
        "deep/d.png": r.integers(0, 256, (5, 19, 3), dtype=np.uint8),
        "e.png": np.tile(images[3], (3, 2))[:, :13],
    }
    for name, pixels in pictures.items():
        (here / "in" / name).parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(pixels).save(here / "in" / name)
    told = json.loads(done("compress", local, "in", "-o", "it.nrw", "--json"))
    assert (told["examples"], told["raw_bytes"]) == (5, sum(pixels.size for pixels in pictures.values()))
    done("decompress", local, "it.nrw", "-o", "out")
    found = {str(path.relative_to(here / "out")): path for path in (here / "out").rglob("*.png")}
    assert sorted(found) == sorted(pictures)
    assert all(np.array_equal(np.asarray(Image.open(found[name])), pixels) for name, pixels in pictures.items())
    done("decompress", local, "it.nrw", "-o", "out.zip")
    done("compress", local, "out.zip", "-o", "again.nrw")
    done("decompress", local, "again.nrw", "-o", "again")
    assert sorted(path.name for path in (here / "again").rglob("*.png")) == sorted(Path(name).name for name in pictures)


def test_no_examples_and_one(codec, here, images, done):
    for n in (0, 1):
        np.save(here / "few.npy", images[:n])
        told = json.loads(done("compress", codec, "few.npy", "-o", "few.nrw", "--json"))
        assert told["examples"] == n
        assert (told["file_bits_per_cell"] is None) == (n == 0)
        done("decompress", codec, "few.nrw", "-o", "back.npy")
        assert np.array_equal(np.load(here / "back.npy"), images[:n])


def test_noise_is_kept_as_it_is(local, here, done):
    noise = np.random.default_rng(0).integers(0, 256, (2000, 8, 8), dtype=np.uint8)
    np.save(here / "noise.npy", noise)
    told = json.loads(done("compress", local, "noise.npy", "-o", "noise.nrw", "--json"))
    assert told["stored_chunks"] == 1
    assert told["file_bytes"] < 1.01 * noise.size
    done("decompress", local, "noise.nrw", "-o", "back.npy")
    assert np.array_equal(np.load(here / "back.npy"), noise)


def test_a_model_file_and_its_codec_file_do_the_same(here, images, done):
    untrained(here / "m.safetensors", "compressor", Schema((1, 8, 8), 0.0, 255.0, 1.0, "hw"))
    told = json.loads(done("export", "m.safetensors", "-o", "m.codec", "--codec", "--json"))
    assert told == {
        "file": "m.codec",
        "kind": "local",
        "codec": fingerprint(load_codec(here / "m.codec")),
        "file_bytes": (here / "m.codec").stat().st_size,
    }
    np.save(here / "x.npy", np.tile(images, (3, 1, 1)))
    done("compress", "m.safetensors", "x.npy", "-o", "1.nrw")
    done("compress", "m.codec", "x.npy", "-o", "2.nrw")
    assert (here / "1.nrw").read_bytes() == (here / "2.nrw").read_bytes()
    done("decompress", "m.codec", "1.nrw", "-o", "y.npy")
    done("export", "m.codec", "-o", "again.codec", "--codec")
    assert (here / "again.codec").read_bytes() == (here / "m.codec").read_bytes()


def test_a_table_of_bits_and_one_of_symbols(here, done):
    r = np.random.default_rng(0)
    for name, cells, settings in (
        ("bits", r.random((300, 6)) < 0.2, []),
        ("levels", r.integers(0, 4, (300, 5), dtype=np.uint8), ["likelihood=categorical"]),
    ):
        np.save(here / f"{name}.npy", cells)
        small = ["network.width=8", "latent.size=2", *settings]
        done("train", f"{name}.npy", "-o", "m.safetensors", "--preset", "variational", "--epochs", 1, "--set", *small)
        done("compress", "m.safetensors", f"{name}.npy", "-o", "it.nrw")
        done("decompress", "m.safetensors", "it.nrw", "-o", "back.npy")
        assert (here / "back.npy").read_bytes() == (here / f"{name}.npy").read_bytes()


def test_a_csv_file_of_bits_comes_back_with_its_columns(here, done):
    rows = np.random.default_rng(0).integers(0, 2, (50, 3))
    (here / "t.csv").write_text("a,b,c\n" + "".join(f"{a},{b},{c}\n" for a, b, c in rows))
    small = ["network.width=8", "latent.size=2"]
    done("train", "t.csv", "-o", "m.safetensors", "--preset", "variational", "--epochs", 1, "--set", *small)
    done("compress", "m.safetensors", "t.csv", "-o", "t.nrw")
    done("decompress", "m.safetensors", "t.nrw", "-o", "back.csv")
    lines = (here / "back.csv").read_text().splitlines()
    assert [line.split(",") for line in lines[1:]] == rows.astype(str).tolist()


def test_a_table_of_text_numbers_and_gaps_comes_back_as_it_was_written(here, done, refused):
    lines = [f"{place % 3},{'tcp' if place % 2 else ''},{place * place % 97 / 4:.2f}" for place in range(200)]
    (here / "t.csv").write_text("\n".join(["n,proto,rate", *lines]) + "\n")
    (here / "u.csv").write_text('rate,n,proto\n0.25,007,"new, ""one"""\n-1,,tcp\n1e99,2,ü\n')
    small = ["--epochs", 1, "--set", "network.width=8", "latent.size=2"]
    done("train", "t.csv", "-o", "m.safetensors", "--preset", "compressor-table", *small)
    done("export", "m.safetensors", "-o", "m.codec", "--codec")
    told = json.loads(done("compress", "m.codec", "u.csv", "-o", "u.nrw", "--compare", "--json"))
    assert told["examples"] == 3
    assert [said.partition(":")[0] for said in told["compared"]][2:] == ["CSV, xz, all rows", "Parquet, zstd, all rows"]
    done("decompress", "m.codec", "u.nrw", "-o", "back.csv")
    assert (here / "back.csv").read_bytes() == (here / "u.csv").read_bytes()
    done("decompress", "m.safetensors", "u.nrw", "-o", "one.csv", "--example", 1)
    assert (here / "one.csv").read_text() == "rate,n,proto\n-1,,tcp\n"
    assert json.loads(done("inspect", "u.nrw", "--json"))["holds"] == "data, table"
    refused("decompress", "m.codec", "u.nrw", "-o", "back.npy", says="written as .csv or .parquet or .arrow")
    refused("compress", "m.codec", "digits", "-o", "d.nrw", says="is no table of columns")
    (here / "v.csv").write_text("n,proto,rate,more\n1,tcp,0.5,x\n")
    refused("compress", "m.codec", "v.csv", "-o", "v.nrw", says="has the column 'more', which the model was not")
    refused("train", "digits", "-o", "n.safetensors", "--preset", "compressor-table", says="is no table of columns")


# --- Parts of a file -------------------------------------------------------------------------------------------------


def damaged(path, chunk):
    """Alter a byte in the middle of a chunk."""
    content = bytearray(path.read_bytes())
    entry = Reader.open(bytes(content)).entries[chunk]
    content[entry.offset + entry.length // 2] ^= 1
    path.write_bytes(content)


def test_one_example_needs_no_other_chunk(codec, data, here, images, done, refused, small_chunks):
    done("compress", codec, data, "-o", "x.nrw")
    damaged(here / "x.nrw", 1)
    for example in (0, 9, 25, 39):
        done("decompress", codec, "x.nrw", "-o", f"{example}.png", "--example", example)
        assert np.array_equal(np.asarray(Image.open(here / f"{example}.png")), images[example])
    refused("decompress", codec, "x.nrw", "-o", "y.png", "--example", 10, says="the chunk of examples 10 to 19 of")
    for example in (40, -1):
        says = f"example {example} is not in x.nrw; ask for one of the 40"
        refused("decompress", codec, "x.nrw", "-o", "y.png", "--example", example, says=says)


def test_what_is_intact_of_a_damaged_file_is_salvaged(codec, data, here, images, done, refused, small_chunks):
    done("compress", codec, data, "-o", "x.nrw")
    damaged(here / "x.nrw", 2)
    refused("decompress", codec, "x.nrw", "-o", "y.npy", says="add --salvage to recover the chunks that are intact")
    told = json.loads(done("decompress", codec, "x.nrw", "-o", "y.npy", "--salvage", "--json"))
    assert (told["examples"], told["lost"]) == (30, ["20 to 29"])
    assert np.array_equal(np.load(here / "y.npy"), np.concatenate([images[:20], images[30:]]))
    (here / "x.nrw").write_bytes((here / "x.nrw").read_bytes()[:-30])
    told = json.loads(done("decompress", codec, "x.nrw", "-o", "z.npy", "--salvage", "--json"))
    assert (told["examples"], told["lost"][0]) == (30, "20 to 29")
    assert "after the last one found" in told["lost"][1]


def test_what_a_file_holds(codec, data, here, done, small_chunks):
    done("compress", codec, data, "-o", "x.nrw")
    for name, holds in (("x.nrw", "data"), (codec, "codec")):
        told = json.loads(done("inspect", name, "--json"))
        size = (here / name).stat().st_size
        kind = load_codec(codec).kind
        assert (told["holds"], told["codec"]) == (f"{holds}, {kind}", fingerprint(load_codec(codec)))
        assert told["file_bytes"] == size == sum(told[f"{part}_bytes"] for part in PARTS)
        assert told["data"] == "images 1x8x8 (channels x height x width), 256 levels from 0 to 255"
        assert (told["examples"], told["chunks"]) == ((40, 4) if holds == "data" else (0, 1))
    assert "payload" in done("inspect", "x.nrw")


def test_a_code_that_does_not_pay_is_left_out_and_that_is_said(data, here, images, done, small_chunks):
    grey = Schema((1, 8, 8), 0.0, 255.0, 1.0, "hw")
    changed = {"likelihood.told": 4, "network": "mlp", "network.width": 8, "latent": "gaussian"}
    untrained(here / "m.safetensors", "compressor", grey, **changed)
    done("export", "m.safetensors", "-o", "m.codec", "--codec")
    told = json.loads(done("compress", "m.codec", data, "-o", "x.nrw", "--json"))
    assert told["notes"] == ["the code brings less than it costs, and is left out (4 of 4 chunks)"]
    assert told["notes"][0] in done("compress", "m.safetensors", data, "-o", "x.nrw")
    done("decompress", "m.codec", "x.nrw", "-o", "y.npy")
    assert np.array_equal(np.load(here / "y.npy"), images)
    told = json.loads(done("compress", CODECS["local-bits-back"], data, "-o", "x.nrw", "--json"))
    assert told["notes"] == []


PARTS = ("header", "payload", "names", "framing", "footer")


def test_other_formats_stand_beside(local, here, images, done):
    np.save(here / "few.npy", images[:6])
    told = json.loads(done("compress", local, "few.npy", "-o", "few.nrw", "--compare", "--json"))
    assert [row.split(",")[0] for row in told["compared"] if "one by one" in row][:2] == ["PNG", "WebP"]
    assert any(row.startswith("xz, raw stream: ") and row.endswith(" bits a cell") for row in told["compared"])
    assert "PNG, sheets" in done("compress", local, "few.npy", "-o", "few.nrw", "--compare")


# --- What is refused -------------------------------------------------------------------------------------------------


def test_files_of_something_else_are_refused(local, data, here, done, refused):
    (here / "text.nrw").write_text("no such thing")
    done("compress", local, data, "-o", "x.nrw")
    refused("decompress", local, "text.nrw", "-o", "y.npy", says="text.nrw does not begin as a .nrw file does")
    refused("inspect", "text.nrw", says="does not begin as a .nrw file does")
    refused("decompress", local, "text.nrw", "-o", "y.npy", "--salvage", says="nothing can be salvaged")
    refused("decompress", local, "none.nrw", "-o", "y.npy", says="there is no file none.nrw")
    refused("decompress", local, ".", "-o", "y.npy", says=". is a folder")
    refused("decompress", local, local, "-o", "y.npy", says="holds a codec and no data")
    refused("compress", "x.nrw", data, "-o", "y.nrw", says="x.nrw holds data and no codec")
    refused("compress", "text.nrw", data, "-o", "y.nrw")
    refused("compress", local, "none.npy", "-o", "y.nrw", says="none.npy")


@pytest.mark.parametrize("length", [0, 7, 60, -1])
def test_files_cut_short_are_refused(codec, data, here, done, refused, length):
    done("compress", codec, data, "-o", "x.nrw")
    for name, words in (
        ("x.nrw", ("decompress", codec, "x.nrw", "-o", "y.npy")),
        ("m.codec", ("compress", "m.codec", data, "-o", "y.nrw")),
    ):
        shutil.copy(codec, here / "m.codec")
        (here / name).write_bytes((here / name).read_bytes()[:length])
        refused(*words)


def test_another_model_is_refused(data, here, done, refused):
    done("compress", CODECS["local"], data, "-o", "x.nrw")
    refused(
        "decompress", CODECS["bits-back"], "x.nrw", "-o", "y.npy", says="x.nrw was written with another model (local"
    )


def test_an_output_that_is_an_input_is_refused(local, data, here, done, refused):
    done("compress", local, data, "-o", "x.nrw")
    shutil.copy(local, here / "m.codec")
    refused("compress", local, data, "-o", data, says="x.npy")
    refused("compress", "m.codec", data, "-o", "m.codec", says="m.codec")
    refused("decompress", local, "x.nrw", "-o", "x.nrw", says="x.nrw")
    refused("export", "m.codec", "-o", "m.codec", "--codec", says="m.codec")
    refused("compress", local, data, "-o", "nowhere/x.nrw", says="nowhere")


def test_options_that_say_nothing_here_are_refused(local, data, refused):
    refused("export", local, data, "-o", "m.codec", "--codec", says="was given to compare graphs on")
    refused("compress", local, data, "-o", "x.nrw", "--batch", 0, says="batch was given as 0")
    refused("compress", local, data, "-o", "x.nrw", "--lossy", says="--lossy is for models of preset lossy")
    refused("compress", local, data, "-o", "x.nrw", "--quality", 50, says="are for --lossy")
    refused("compress", local, data, "-o", "x.nrw", "--device", "nowhere", says="nowhere")


def test_models_that_no_codec_is_made_of_are_refused(here, data, refused):
    grey = Schema((1, 8, 8), 0.0, 255.0, 1.0, "hw")
    untrained(here / "point.safetensors", "autoencoder", grey)
    untrained(here / "reals.safetensors", "variational", Schema((3,), 0.0, 1.0))
    np.save(here / "reals.npy", np.random.default_rng(0).normal(size=(9, 3)))
    refused("compress", "point.safetensors", data, "-o", "x.nrw", says="train with preset variational")
    refused(
        "compress", "reals.safetensors", "reals.npy", "-o", "x.nrw", says="likelihood gaussian scores something else"
    )
    refused("export", "point.safetensors", "-o", "m.codec", "--codec", says="train with preset variational")


def test_data_off_the_grid_and_outputs_of_no_use_are_refused(local, data, here, images, done, refused):
    np.save(here / "reals.npy", images / 255 + 0.1)
    np.save(here / "rows.npy", images.reshape(40, 64))
    refused("compress", local, "reals.npy", "-o", "y.nrw", says="the model was trained on")
    refused("compress", local, "rows.npy", "-o", "y.nrw", says="examples of shape (64,)")
    done("compress", local, data, "-o", "x.nrw")
    refused("decompress", local, "x.nrw", "-o", "y.csv", says="has the suffix .csv")
    refused("decompress", local, "x.nrw", "-o", "y.png", says="there is more than one image")
