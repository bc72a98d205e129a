"""Examples in blocks: the same cells as the whole readers give, in bounded memory, whatever the source."""

import gzip
import json
import tracemalloc
import zipfile
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from PIL import Image

from narrows.data import limits, read
from narrows.data.frames import Block, Form, Frames, open_frames
from narrows.data.grid import Grid
from narrows.data.request import Request
from narrows.data.schema import Column, Schema
from narrows.errors import InputError

RNG = np.random.default_rng(0)
COLOUR = RNG.integers(0, 256, (7, 5, 6, 3), dtype=np.uint8)
GREY = Schema((1, 5, 6), 0.0, 255.0, 1.0, "hw")
RGB = Schema((3, 5, 6), 0.0, 255.0, 1.0, "hwc")
INK = Schema((1, 5, 6), 0.0, 255.0, 255.0, "hw")


def frames(data: object, schema: Schema | None = None, cells: int = 200, **options: object) -> Frames:
    return open_frames(str(data), Request(schema=schema, **options), cells)


def together(opened: Frames) -> np.ndarray:
    """All examples, which must be of one shape, after a look at the blocks."""
    blocks = list(opened)
    assert all(block.values.dtype == np.uint8 and block.values.flags.c_contiguous for block in blocks)
    assert sum(len(block.values) for block in blocks) == len(opened)
    return np.concatenate([block.values for block in blocks])


def refusal(data: object, schema: Schema | None = None, **options: object) -> str:
    with pytest.raises(InputError) as caught:
        list(frames(data, schema, **options))
    assert "\n" not in str(caught.value)
    return str(caught.value)


def idx(values: np.ndarray) -> bytes:
    header = bytes((0, 0, 8, values.ndim)) + b"".join(side.to_bytes(4, "big") for side in values.shape)
    return header + values.tobytes()


def save_images(folder: Path, images: dict[str, np.ndarray]) -> Path:
    for name, image in images.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(image).save(folder / name)
    return folder


@pytest.mark.parametrize("order", ["C", "F"])
@pytest.mark.parametrize("dtype", ["u1", "<i8", ">i2", "f4", "f8"])
def test_npy(tmp_path, dtype, order):
    path = tmp_path / "x.npy"
    np.save(path, np.asarray(COLOUR, dtype, order=order))
    opened = frames(path, RGB)
    assert [len(block.values) for block in opened] == [2, 2, 2, 1]  # 90 cells each, 200 at most
    for _ in range(2):  # each time from the first
        assert np.array_equal(together(opened), np.moveaxis(COLOUR, 3, 1))
    assert opened.form == Form("array", np.dtype(dtype).str, (5, 6, 3), "hwc")
    assert all(block.names is None for block in opened)


@pytest.mark.parametrize(
    ("array", "shape", "layout"),
    [
        (COLOUR[..., 0], (1, 5, 6), "hw"),
        (COLOUR[..., :1], (1, 5, 6), "hwc"),
        (np.moveaxis(COLOUR, 3, 1), (3, 5, 6), "chw"),
        (COLOUR[:, :4], (3, 4, 6), "hwc"),
        (COLOUR[:0], (3, 5, 6), "hwc"),
        (COLOUR[:1], (3, 5, 6), "hwc"),
    ],
    ids=["grey", "grey with an axis of channels", "channels first", "of another size", "none", "one"],
)
def test_layouts_and_sizes(tmp_path, array, shape, layout):
    np.save(tmp_path / "x.npy", array)
    opened = frames(tmp_path / "x.npy", RGB)
    assert opened.form == Form("array", "|u1", array.shape[1:], layout)
    assert len(opened) == len(array)
    whole = [block.values for block in opened]
    expected = {"hw": array[:, None], "hwc": np.moveaxis(array, -1, 1), "chw": array}[layout]
    assert np.array_equal(np.concatenate([np.empty((0, *shape), np.uint8), *whole]), expected)


@pytest.mark.parametrize("name", ["x-idx3-ubyte", "x-idx3-ubyte.gz"])
def test_idx(tmp_path, name):
    content = idx(COLOUR[..., 0])
    (tmp_path / name).write_bytes(gzip.compress(content) if name.endswith("gz") else content)
    opened = frames(tmp_path / name, GREY)
    assert len(list(opened)) == 2
    assert np.array_equal(together(opened)[:, 0], COLOUR[..., 0])
    assert opened.form == Form("array", "|u1", (5, 6), "hw")


@pytest.mark.parametrize(("cut", "says"), [(-1, "ends early"), (None, "goes on after them")])
def test_idx_that_is_not_as_long_as_it_says(tmp_path, cut, says):
    content = idx(COLOUR[..., 0])[:cut] + (b"" if cut else b"\0")
    (tmp_path / "x-idx.gz").write_bytes(gzip.compress(content))
    blocks = iter(frames(tmp_path / "x-idx.gz", GREY))
    next(blocks)  # 6 of 7 images are there, and no more of the file has been looked at
    with pytest.raises(InputError, match=says):
        list(blocks)
    (tmp_path / "x-idx").write_bytes(content)
    assert "do not hold" in refusal(tmp_path / "x-idx", GREY)


def test_named_set_and_archive_are_what_the_whole_reader_gives(tmp_path):
    for name in ("fashion-sample:test", "digits"):
        whole = read(name)
        opened = frames(name, cells=2**16)
        assert opened.schema == whole.schema
        assert np.array_equal(together(opened), whole.values)
        assert opened.notes == (f"the labels of '{name}' were left out",)
    np.savez(tmp_path / "x.npz", a=COLOUR.astype(np.int32), b=COLOUR)
    opened = frames(tmp_path / "x.npz", RGB, key="a")
    assert np.array_equal(together(opened), np.moveaxis(COLOUR, 3, 1))
    assert (opened.form.dtype, opened.notes) == ("<i4", ())


def test_images_of_different_sizes_and_modes(tmp_path):
    images = {
        "a.png": COLOUR[0],
        "b/0.png": COLOUR[1],
        "b/1.png": COLOUR[2, ..., 0],
        "b/2.bmp": COLOUR[3, ..., 0],
        "c.png": COLOUR[4, :3],
        "d.png": COLOUR[5],
        "e.png": COLOUR[6],
        "f.png": np.concatenate([COLOUR[0], COLOUR[1, ..., :1]], axis=2),
    }
    folder = save_images(tmp_path / "images", images)
    with zipfile.ZipFile(tmp_path / "x.zip", "w") as archive:
        for name in reversed(images):
            archive.write(folder / name, name)
    for path, kind in ((folder, "folder"), (tmp_path / "x.zip", "zip")):
        opened = frames(path, GREY)
        blocks = list(opened)
        assert opened.form == Form(kind)
        assert len(opened) == len(images)
        assert [block.names for block in blocks] == [
            ("a.png", "b/0.png"),
            ("b/1.png", "b/2.bmp"),
            ("c.png",),
            ("d.png", "e.png"),
            ("f.png",),
        ]
        given = [(name, image) for block in blocks for name, image in zip(block.names, block.values, strict=True)]
        for name, image in given:
            assert np.array_equal(np.moveaxis(image, 0, 2).squeeze(), images[name])


def test_blocks_of_images_are_bounded(tmp_path):
    folder = save_images(tmp_path / "images", {f"{place}.png": image for place, image in enumerate(COLOUR)})
    assert [len(block.values) for block in frames(folder, RGB, cells=270)] == [3, 3, 1]
    assert [len(block.values) for block in frames(folder, RGB, cells=1)] == [1] * 7


def test_single_image(tmp_path):
    Image.fromarray(COLOUR[0]).save(tmp_path / "x.png")
    opened = frames(tmp_path / "x.png")
    assert opened.form == Form("image")
    assert opened.schema == RGB
    assert np.array_equal(together(opened)[0], np.moveaxis(COLOUR[0], 2, 0))


def test_one_axis_that_might_be_channels(tmp_path):
    """An image 3 pixels high is no image with channels first, whatever the model's arrays are like."""
    image = COLOUR[0, :3, :5]
    Image.fromarray(image).save(tmp_path / "x.png")
    opened = frames(tmp_path / "x.png", Schema((3, 5, 3), 0.0, 255.0, 1.0, "chw"))
    assert np.array_equal(together(opened)[0], np.moveaxis(image, 2, 0))


def test_rows(tmp_path):
    bits = RNG.integers(0, 2, (40, 3))
    (tmp_path / "x.csv").write_text("b,a,c,more\n" + "".join(f"{b},{a},{c},5\n" for a, b, c in bits))
    schema = Schema((3,), 0.0, 1.0, 1.0, names=("a", "b", "c"))
    opened = frames(tmp_path / "x.csv", schema, cells=30)
    assert opened.form == Form("table", "<i8")
    assert [len(block.values) for block in opened] == [10] * 4
    assert np.array_equal(together(opened), bits)
    np.save(tmp_path / "x.npy", bits.astype(bool))
    assert np.array_equal(together(frames(tmp_path / "x.npy", schema)), bits)
    assert frames(tmp_path / "x.npy").schema == Schema((3,), 0.0, 1.0, 1.0)


def test_rows_of_a_mixed_table(tmp_path):
    (tmp_path / "x.csv").write_text("kind,n,label\nb,3,1\n,4,2\na,,3\n")
    schema = Schema((2,), 0.0, 0.0, names=("kind", "n"), columns=(
        Column("kind", "category", ("a", "b")), Column("n", "count")))  # fmt: skip
    opened = frames(tmp_path / "x.csv", schema, cells=4, label="label")
    assert opened.form == Form("table", "<f4")
    assert np.isin(opened.notes, "the labels of " + repr(str(tmp_path / "x.csv")) + " were left out").any()
    values = [block.values for block in opened]
    assert [len(part) for part in values] == [2, 1]
    assert np.array_equal(np.concatenate(values), [[1, 3], [np.nan, 4], [0, np.nan]], equal_nan=True)


@pytest.mark.parametrize(
    ("array", "schema", "says"),
    [
        (COLOUR[..., 0], INK, "row 0, cell (0, 0, 0) holds 95, but the model was trained on images 1x5x6"),
        (np.where(COLOUR[5, 2, 3, 1] == COLOUR, -1, COLOUR.astype(int)), RGB, "holds -1, but"),
        (COLOUR + np.where(np.arange(7)[:, None, None, None] == 6, 0.5, 0), RGB, "row 6, cell (0, 0, 0) holds"),
        (np.full((1, 5, 6), np.nan), GREY, "holds nan, but"),
        (np.full((1, 5, 6), np.inf), GREY, "holds inf, but"),
        (COLOUR.reshape(7, 90), RGB, "hold examples of shape (90,); the model was trained on (5, 6, 3)"),
        (COLOUR, Schema((90,), 0.0, 255.0, 1.0), "hold examples of shape (5, 6, 3); the model was trained on (90,)"),
        (COLOUR[..., :2], RGB, "the array holds examples of shape (5, 6, 2)"),
        (COLOUR[:, :0], RGB, "has the shape (7, 0, 6, 3); give at least one example"),
        (COLOUR[0, 0, 0], RGB, "has the shape (3,)"),
        (COLOUR[0, 0, 0, 0], RGB, "has the shape ()"),
        (COLOUR, Schema((3, 5, 6), 0.0, 1.0, 0.0, "hwc"), "only cells of at most 256 levels"),
        (COLOUR, Schema((3, 5, 6), 0.0, 65535.0, 1.0, "hwc"), "only cells of at most 256 levels"),
        (COLOUR, Schema((3, 5, 6), 0.0, np.inf, 1.0, "hwc"), "only cells of at most 256 levels"),
        (np.linspace(0, 1, 40).reshape(10, 4), None, "only cells of at most 256 levels"),
        (np.array([["a", "b"]]), None, "holds text such as 'a'"),
        (np.empty((0, 3)), None, "give at least one example"),
    ],
)  # fmt: skip
def test_arrays_that_do_not_fit(tmp_path, array, schema, says):
    np.save(tmp_path / "x.npy", array)
    assert says in refusal(tmp_path / "x.npy", schema)


def test_the_row_that_is_named_is_that_of_the_file(tmp_path):
    values = COLOUR[..., 0].astype(np.int32)
    values[5, 4, 3] = 256
    np.save(tmp_path / "x.npy", values)
    assert "row 5, cell (0, 4, 3) holds 256" in refusal(tmp_path / "x.npy", GREY, cells=60)


def test_malformed_files(tmp_path):
    path = tmp_path / "x.npy"
    np.save(path, np.array([[{}]], object), allow_pickle=True)
    assert "never loaded" in refusal(path, GREY)
    np.save(path, COLOUR)
    whole = path.read_bytes()
    path.write_bytes(whole[:-1])
    assert "does not hold" in refusal(path, RGB)
    path.write_bytes(whole[:40])
    assert "cannot be read as a NumPy file" in refusal(path, RGB)
    path.write_bytes(whole)
    opened = frames(path, RGB)
    path.write_bytes(whole[:-1])  # after it was opened
    with pytest.raises(InputError, match="cannot be read as a NumPy file"):
        list(opened)
    assert "no such file or data set" in refusal(tmp_path / "y.npy", RGB)
    (tmp_path / "x.zip").write_bytes(b"PK no zip")
    assert "cannot be read as a zip file" in refusal(tmp_path / "x.zip", RGB)
    (tmp_path / "empty").mkdir()
    assert "holds no images" in refusal(tmp_path / "empty", RGB)
    assert "key was given for a NumPy array" in refusal(path, RGB, key="x")
    with pytest.raises(InputError, match="unknown split 'middle'"):
        Request(split="middle")


def test_images_that_do_not_fit(tmp_path):
    folder = save_images(tmp_path / "images", {"a.png": COLOUR[0], "b.png": COLOUR[1, ..., 0].astype(np.uint16) * 256})
    assert "the image 'b.png' is 16-bit grey" in refusal(folder, GREY)
    (folder / "b.png").write_bytes((folder / "a.png").read_bytes()[:-40])
    assert "'b.png' cannot be read as an image" in refusal(folder, GREY)
    assert "the image 'a.png': row 0, cell (0, 0, 0) holds" in refusal(folder, INK)
    assert "the model was trained on (30,)" in refusal(folder, Schema((30,), 0.0, 255.0, 1.0))


def test_zip_that_unpacks_to_far_more_than_it_is(tmp_path, monkeypatch):
    monkeypatch.setattr(limits, "FREE_BYTES", 1000)
    with zipfile.ZipFile(tmp_path / "x.zip", "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("x.png", bytes(10**6))
    assert "over 500 times its size" in refusal(tmp_path / "x.zip", GREY)


@pytest.mark.parametrize("order", ["C", "F"])
def test_memory_does_not_grow_with_the_file(tmp_path, order):
    """100 MB of images, never more than a few blocks of 4 MiB in memory."""
    shape = (130_000, 28, 28)
    written = np.lib.format.open_memmap(tmp_path / "x.npy", "w+", np.uint8, shape, order == "F")
    written[::1000] = 7
    written.flush()
    del written
    tracemalloc.start()
    try:
        seen = total = 0
        for block in open_frames(str(tmp_path / "x.npy"), Request(schema=Schema((1, 28, 28), 0.0, 255.0, 1.0, "hw"))):
            seen, total = seen + len(block.values), total + int(block.values[:, 0, 5, 5].sum())
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert (seen, total) == (130_000, 130 * 7)
    assert peak < 20 * 2**20


@given(st.sampled_from([(0.0, 255.0, 1.0), (0.0, 255.0, 255.0), (0.0, 16.0, 1.0), (-3.0, 4.0, 1.0), (0.25, 0.75, 0.5)]),
       st.sampled_from(["u1", "i1", "i4", "u8", "f2", "f4", "f8", "?"]), st.data())  # fmt: skip
def test_grid_round_trip(grid, dtype, data):
    """What has an index is given back to the bit; whatever has none is refused."""
    schema = Schema((4,), *grid)
    values = data.draw(hnp.arrays(dtype, (3, 4)))
    fits = np.isin(values.astype(np.float64), schema.low + schema.step * np.arange(schema.levels)).all()
    if not fits:
        with pytest.raises(InputError):
            Grid(schema).indices(values)
        return
    indices = Grid(schema).indices(values)
    assert indices.dtype == np.uint8
    assert np.array_equal(schema.low + schema.step * indices.astype(float), values.astype(float))
    back = Grid(schema).values(indices, values.dtype)
    assert back.dtype == values.dtype
    assert np.array_equal(back, values)


def test_grid_whose_high_end_rounds():
    assert 0.3 + (0.9 - 0.3) != 0.9
    grid = Grid(Schema((1,), 0.3, 0.9, 0.9 - 0.3))
    assert grid.values(grid.indices(np.array([[0.3], [0.9]])), np.dtype("f8")).tolist() == [[0.3], [0.9]]


@pytest.mark.parametrize("form", [Form("zip"), Form("table", "<i8"), Form("array", ">f4", (3, 4, 5), "chw")])
def test_form_in_json(form):
    assert Form.from_json(json.loads(json.dumps(form.to_json()))) == form


@pytest.mark.parametrize(
    "record",
    [
        None, 5, [], {}, {"kind": "pipe"}, {"kind": ["zip"]}, {"kind": "zip", "more": 1},
        {"kind": "array", "dtype": "O"},
        {"kind": "array", "dtype": None}, {"kind": "array", "dtype": "(9,)u1"}, {"kind": "array", "dtype": "u1,u1"},
        {"kind": "array", "dtype": 5}, {"kind": "array", "shape": 5}, {"kind": "array", "shape": [2, "3"]},
        {"kind": "array", "shape": [0, 2]}, {"kind": "array", "layout": "cwh"}, {"kind": "array", "layout": {}},
    ],
)  # fmt: skip
def test_forged_forms(record):
    with pytest.raises(InputError) as caught:
        Form.from_json(record)
    assert "\n" not in str(caught.value)


def test_block_without_names():
    assert Block(COLOUR).names is None
