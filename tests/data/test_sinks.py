"""What frames take apart, sinks put together again; a name in a file leads nowhere but into the output."""

import csv
import tracemalloc
import zipfile
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from narrows.data.frames import Form, Frames, open_frames
from narrows.data.request import Request
from narrows.data.schema import Column, Schema
from narrows.data.sinks import Sink, sink
from narrows.errors import InputError

RNG = np.random.default_rng(0)
COLOUR = RNG.integers(0, 256, (7, 5, 6, 3), dtype=np.uint8)
GREY = Schema((1, 5, 6), 0.0, 255.0, 1.0, "hw")
RGB = Schema((3, 5, 6), 0.0, 255.0, 1.0, "hwc")
BITS = Schema((3,), 0.0, 1.0, 1.0)


def restored(opened: Frames, output: Path) -> list[str]:
    """Write all examples, and return what was said."""
    before = output.read_bytes() if output.exists() else None
    with sink(output, Form.from_json(opened.form.to_json()), opened.schema) as out:
        for block in opened:
            out.add(block.values, block.names)
        assert (output.read_bytes() if output.exists() else None) == before
    return out.notes


def frames(data: object, schema: Schema | None = None, cells: int = 200) -> Frames:
    return open_frames(str(data), Request(schema=schema), cells)


def refusal(output: Path, form: Form, schema: Schema, *blocks: np.ndarray) -> str:
    before = sorted(output.parent.rglob("*"))

    def write() -> None:
        with sink(output, form, schema) as out:
            for block in blocks:
                out.add(block)

    with pytest.raises(InputError) as caught:
        write()
    assert "\n" not in str(caught.value)
    assert sorted(output.parent.rglob("*")) == before
    return str(caught.value)


def pixels(folder: Path) -> dict[str, np.ndarray]:
    return {
        file.relative_to(folder).as_posix(): np.asarray(Image.open(file))
        for file in folder.rglob("*")
        if file.is_file()
    }


@pytest.mark.parametrize("dtype", ["u1", "<i8", ">i2", "f4", "f8"])
@pytest.mark.parametrize(
    "array",
    [COLOUR, COLOUR[..., 0], COLOUR[..., :1], np.moveaxis(COLOUR, 3, 1), COLOUR[:0], COLOUR[:1], COLOUR[:, :4]],
    ids=["hwc", "hw", "hwc of one", "chw", "none", "one", "of another size"],
)
def test_array(tmp_path, array, dtype):
    np.save(tmp_path / "x.npy", array.astype(dtype))
    assert restored(frames(tmp_path / "x.npy", RGB), tmp_path / "y.npy") == []
    back = np.load(tmp_path / "y.npy")
    assert back.dtype == np.dtype(dtype)
    assert np.array_equal(back, array)
    # Byte for byte what NumPy writes, so that the header was rewritten in its place.
    np.save(tmp_path / "z.npy", np.array(array, dtype, order="C"))
    assert (tmp_path / "y.npy").read_bytes() == (tmp_path / "z.npy").read_bytes()


@pytest.mark.parametrize(("schema", "dtype"), [(BITS, "?"), (BITS, "f4"), (Schema((3,), -4.0, 5.0, 1.0), "i1")])
def test_vectors(tmp_path, schema, dtype):
    values = RNG.integers(schema.low, schema.high + 1, (40, 3)).astype(dtype)
    np.save(tmp_path / "x.npy", values)
    restored(frames(tmp_path / "x.npy", schema, cells=30), tmp_path / "y.npy")
    assert np.array_equal(np.load(tmp_path / "y.npy"), values)
    assert np.load(tmp_path / "y.npy").dtype == values.dtype


def test_folder_and_zip_of_images_of_all_kinds(tmp_path):
    images = {
        "a.png": COLOUR[0],
        "b/0.PNG": COLOUR[1, ..., 0],
        "b/deep/Müller 1.png": COLOUR[2, :3],
        "c.d.png": np.concatenate([COLOUR[0], COLOUR[1, ..., :1]], axis=2),
    }
    for name, image in images.items():
        (tmp_path / "x" / name).parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(image).save(tmp_path / "x" / name)
    opened = frames(tmp_path / "x", GREY)
    assert restored(opened, tmp_path / "y") == []
    assert restored(opened, tmp_path / "y.zip") == []
    with zipfile.ZipFile(tmp_path / "y.zip") as archive:
        assert archive.testzip() is None
        archive.extractall(tmp_path / "z")
    for folder in ("y", "z"):
        found = pixels(tmp_path / folder)
        assert found.keys() == images.keys()
        assert all(np.array_equal(found[name], image) for name, image in images.items())
    first = (tmp_path / "y.zip").read_bytes()
    restored(opened, tmp_path / "y.zip")
    assert (tmp_path / "y.zip").read_bytes() == first


def test_images_of_other_formats_become_png_and_it_is_said(tmp_path):
    (tmp_path / "x").mkdir()
    for name, image in (("a.bmp", COLOUR[0]), ("a.png", COLOUR[1]), ("b.jpg", COLOUR[2]), ("c.png", COLOUR[3])):
        Image.fromarray(image).save(tmp_path / "x" / name)
    notes = restored(frames(tmp_path / "x", RGB), tmp_path / "y")
    assert notes[0].startswith("2 of 4 images were of another format than PNG")
    assert notes[1].startswith("1 of 4 images have a number in their names now")
    found = pixels(tmp_path / "y")
    assert sorted(found) == ["a-000001.png", "a.png", "b.png", "c.png"]
    assert np.array_equal(found["a.png"], COLOUR[0])
    assert np.array_equal(found["a-000001.png"], COLOUR[1])


def test_images_without_names_are_numbered(tmp_path):
    np.save(tmp_path / "x.npy", COLOUR)
    assert restored(frames(tmp_path / "x.npy", RGB), tmp_path / "y") == []
    found = pixels(tmp_path / "y")
    assert sorted(found) == [f"{place:06d}.png" for place in range(7)]
    assert np.array_equal(np.stack([found[name] for name in sorted(found)]), COLOUR)


def test_single_image(tmp_path):
    Image.fromarray(COLOUR[0]).save(tmp_path / "x.png")
    restored(frames(tmp_path / "x.png"), tmp_path / "y.png")
    assert np.array_equal(np.asarray(Image.open(tmp_path / "y.png")), COLOUR[0])
    restored(frames(tmp_path / "x.png"), tmp_path / "y.npy")
    assert np.array_equal(np.load(tmp_path / "y.npy"), COLOUR[:1])


def test_images_of_one_size_in_an_array(tmp_path):
    (tmp_path / "x").mkdir()
    for place, image in enumerate(COLOUR):
        Image.fromarray(image[..., 0]).save(tmp_path / "x" / f"{place}.png")
    restored(frames(tmp_path / "x", GREY), tmp_path / "y.npy")
    assert np.array_equal(np.load(tmp_path / "y.npy"), COLOUR[..., 0])


def test_tables(tmp_path):
    schema = Schema((2,), 0.0, 0.0, names=("kind", "n"), columns=(
        Column("kind", "category", ("a", "b, c", "d")), Column("n", "count")))  # fmt: skip
    (tmp_path / "x.csv").write_text('kind,n\n"b, c",3\n,4\na,\n')
    restored(frames(tmp_path / "x.csv", schema, cells=2), tmp_path / "y.csv")
    assert list(csv.reader((tmp_path / "y.csv").open())) == [["kind", "n"], ["b, c", "3"], ["", "4"], ["a", ""]]
    (tmp_path / "x.csv").write_text("a,b,c\n0,1,1\n1,0,0\n")
    named = Schema((3,), 0.0, 1.0, 1.0, names=("a", "b", "c"))
    restored(frames(tmp_path / "x.csv", named, cells=3), tmp_path / "y.csv")
    assert list(csv.reader((tmp_path / "y.csv").open())) == [["a", "b", "c"], ["0", "1", "1"], ["1", "0", "0"]]
    assert sorted(file.name for file in tmp_path.iterdir()) == ["x.csv", "y.csv"]


ONE, OTHER = np.zeros((1, 1, 5, 6), np.uint8), np.zeros((1, 3, 5, 6), np.uint8)


@pytest.mark.parametrize(
    ("output", "schema", "blocks", "says"),
    [
        ("y.png", GREY, (ONE, ONE), "more than one image, and a .png file holds one"),
        ("y.png", GREY, (), "there is no image"),
        ("y.npy", GREY, (ONE, OTHER), "of different shapes, (5, 6) and (5, 6, 3)"),
        ("y", GREY, (np.zeros((1, 2, 5, 6), np.uint8),), "images of 2 channels"),
        ("y.zip", Schema((1, 5, 6), -1.0, 1.0, 1.0, "hw"), (), "3 levels from -1 to 1 are no PNG files"),
        ("y", Schema((1, 5, 6), 0.0, 0.5, 0.5, "hw"), (), "binary values 0 and 0.5 are no PNG files"),
        ("y.jpg", GREY, (), "suffix .jpg; this output is written as .npy or .zip or .png or no suffix, for a folder"),
        ("y.png", BITS, (), "has the suffix .png; this output is written as .npy or .csv"),
        ("y", BITS, (), "has the suffix (none)"),
        ("none/y.npy", GREY, (), "there is no folder"),
        ("none/y", GREY, (), "there is no folder"),
    ],
)
def test_what_an_output_cannot_hold(tmp_path, output, schema, blocks, says):
    assert says in refusal(tmp_path / output, Form("array"), schema, *blocks)


def test_a_folder_with_something_in_it_is_left_alone(tmp_path):
    (tmp_path / "y").mkdir()
    (tmp_path / "y" / "a.txt").write_text("mine")
    assert "is there already" in refusal(tmp_path / "y", Form("folder"), GREY, ONE)


@pytest.mark.parametrize("output", ["y.npy", "y.zip", "y", "y.png"])
def test_nothing_is_left_where_decoding_fails(tmp_path, output):
    def fail(out: Sink) -> None:
        out.add(ONE, ("a.png",))
        raise InputError("the file is damaged")

    with pytest.raises(InputError), sink(tmp_path / output, Form("array"), GREY) as out:
        fail(out)
    assert list(tmp_path.iterdir()) == []


TRAPS = [
    "../x.png", "/tmp/x.png", "a/../../x.png", "..\\x.png", "C:\\x.png", "c:x.png", "//host/x.png",
    "\\\\host\\s\\x.png", "", ".", "..", "/", "a\0b.png", "a\nb.png", "\udcff.png", "x" * 300 + ".png",
]  # fmt: skip


@pytest.mark.parametrize("output", ["y", "y.zip"])
def test_names_that_lead_elsewhere(tmp_path, output):
    """Names may come from a forged file; the images are given back, under numbers."""
    with sink(tmp_path / output, Form("folder"), GREY) as out:
        for place, name in enumerate(TRAPS):
            out.add(ONE + np.uint8(place), (name,))
    if output == "y.zip":
        with zipfile.ZipFile(tmp_path / output) as archive:
            archive.extractall(tmp_path / "y")
        (tmp_path / output).unlink()
    assert [path.name for path in tmp_path.iterdir()] == ["y"]
    found = pixels(tmp_path / "y")
    assert sorted(found) == [f"{place:06d}.png" for place in range(len(TRAPS))]
    assert all((found[f"{place:06d}.png"] == place).all() for place in range(len(TRAPS)))
    assert out.notes[-1].startswith(f"{len(TRAPS)} of {len(TRAPS)} images have a number")


NAMES = st.lists(
    st.one_of(st.text("./ab\\:", max_size=6), st.sampled_from(["a.png", "a.jpg", "a.png/b.png", "000001.png"]))
)


@given(NAMES)
def test_no_image_is_lost_whatever_the_names(tmp_path_factory, names):
    folder = tmp_path_factory.mktemp("sink")
    with sink(folder / "y", Form("folder"), GREY) as out:
        for place, name in enumerate(names):
            out.add(np.full((1, 1, 5, 6), place, np.uint8), (name,))
    found = [int(image[0, 0]) for image in pixels(folder / "y").values()]
    assert sorted(found) == list(range(len(names)))
    assert [path.name for path in folder.iterdir()] == ["y"]


def test_memory_does_not_grow_with_the_array(tmp_path):
    block = np.arange(4000 * 784, dtype=np.uint32).astype(np.uint8).reshape(4000, 1, 28, 28)
    schema = Schema((1, 28, 28), 0.0, 255.0, 1.0, "hw")
    tracemalloc.start()
    try:
        with sink(tmp_path / "y.npy", Form("array", "|u1", (28, 28), "hw"), schema) as out:
            for _ in range(33):
                out.add(block)
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert peak < 3 * block.nbytes
    back = np.load(tmp_path / "y.npy", mmap_mode="r")
    assert back.shape == (132_000, 28, 28)
    assert np.array_equal(back[-4000:], block[:, 0])
