"""Other formats: sizes of files that give the images back, and the figures known of them."""

import gzip
import io
import lzma
import sys
import types

import numpy as np
import pytest
from PIL import Image

from narrows.apps import comparing
from narrows.apps.comparing import ENCODERS, Row, Sample, compared
from narrows.data import read
from narrows.errors import InputError

PNG, WEBP, *JXL = ENCODERS
RNG = np.random.default_rng(0)
GREY = np.cumsum(RNG.integers(0, 9, (20, 6, 7)), axis=2).astype(np.uint8)
COLOUR = RNG.integers(0, 256, (5, 8, 9, 3), dtype=np.uint8)
CLEAR = np.concatenate([COLOUR, COLOUR[..., :1] // 128 * 255], axis=3)


def decoded(content: bytes, mode: str) -> np.ndarray:
    return np.asarray(Image.open(io.BytesIO(content)).convert(mode))


def rows_of(values: object) -> dict[tuple[str, str], Row]:
    return {(row.format, row.layout): row for row in compared(values)}


@pytest.fixture
def jxl(monkeypatch):
    """A stand-in for JPEG XL that writes 5 bytes an image, and notes what it was asked."""
    asked = []

    def save(image, file, _name):
        asked.append((image.mode, image.size, image.encoderinfo["effort"], image.encoderinfo["lossless"]))
        file.write(b"5byte")

    monkeypatch.setitem(sys.modules, "pillow_jxl", types.ModuleType("pillow_jxl"))
    monkeypatch.setitem(Image.SAVE, "JXL", save)
    return asked


@pytest.fixture
def no_jxl(monkeypatch):
    monkeypatch.setitem(sys.modules, "pillow_jxl", None)


@pytest.mark.parametrize("encoder", [PNG, WEBP], ids=["png", "webp"])
@pytest.mark.parametrize(("images", "mode"), [(GREY[..., None], "L"), (COLOUR, "RGB"), (CLEAR, "RGBA")])
def test_nothing_is_lost(encoder, images, mode):
    for image in images[:3]:
        assert np.array_equal(decoded(encoder.encode(image), mode), image.squeeze())
    bits = images[0, ..., :1] > 40
    assert np.array_equal(decoded(encoder.encode(bits), "L"), bits[..., 0] * 255)


def test_nothing_is_lost_by_jpeg_xl():
    pytest.importorskip("pillow_jxl")
    for images, mode in ((GREY[..., None], "L"), (COLOUR, "RGB"), (CLEAR, "RGBA")):
        for encoder in JXL:
            assert np.array_equal(decoded(encoder.encode(images[0]), mode), images[0].squeeze())


def test_sizes_are_those_of_the_files(no_jxl):
    rows = rows_of(GREY)
    singly = sum(len(PNG.encode(image[..., None])) for image in GREY)
    assert rows["PNG", "one by one"] == Row("PNG", "one by one", singly, 8 * singly / GREY.size)
    # 20 images of 6 x 7: 4 across and 5 down.
    sheet = GREY.reshape(5, 4, 6, 7).transpose(0, 2, 1, 3).reshape(30, 28, 1)
    for encoder in (PNG, WEBP):
        assert rows[encoder.name, "sheets"].bytes == len(encoder.encode(sheet))
    content = lzma.compress(GREY.tobytes(), preset=9 | lzma.PRESET_EXTREME)
    assert rows["xz", "raw stream"].bytes == len(content)


def test_jpeg_xl_where_it_is_not_installed(no_jxl):
    rows = [row for row in compared(GREY) if row.format.startswith("JPEG XL")]
    assert len(rows) == 4
    assert {(row.bytes, row.bits_per_cell) for row in rows} == {(None, None)}
    assert {row.note for row in rows} == {"is not installed; install narrows[compare]"}


def test_jpeg_xl(jxl):
    rows = rows_of(GREY)
    assert rows["JPEG XL, effort 9", "one by one"].bytes == 100
    assert rows["JPEG XL, effort 9", "sheets"] == Row("JPEG XL, effort 9", "sheets", 5, 40 / GREY.size)
    assert jxl == [("L", (7, 6), 7, True)] * 20 + [("L", (28, 30), 7, True)] + [("L", (7, 6), 9, True)] * 20 + [
        ("L", (28, 30), 9, True)
    ]


def test_sheets_are_limited(jxl, monkeypatch):
    monkeypatch.setattr(comparing, "SHEET_CELLS", 7 * 42)
    assert rows_of(GREY)["JPEG XL, effort 7", "sheets"].bytes == 3 * 5
    assert [size for _, size, effort, _ in jxl if effort == 7][20:] == [(14, 24), (14, 24), (14, 12)]  # about square
    monkeypatch.setattr(comparing, "LONGEST_SIDE", 13)
    assert rows_of(GREY)["JPEG XL, effort 7", "sheets"].bytes == 10 * 5  # one across, two down


def test_images_of_different_sizes_share_no_sheet(jxl):
    rows = rows_of([GREY[:3], COLOUR, GREY[3:]])
    cells = GREY.size + COLOUR.size
    assert rows["JPEG XL, effort 7", "sheets"] == Row("JPEG XL, effort 7", "sheets", 10, 80 / cells)
    raw = GREY[:3].tobytes() + COLOUR.tobytes() + GREY[3:].tobytes()
    content = lzma.compress(raw, preset=9 | lzma.PRESET_EXTREME)
    assert rows["xz", "raw stream"].bytes == len(content)


def test_an_image_too_long_for_webp(no_jxl):
    rows = rows_of(np.zeros((1, 1, 16384), np.uint8))
    assert rows["WebP", "one by one"].note == "takes no image of more than 16383 pixels a side"
    assert rows["PNG", "one by one"].bytes > 0


def test_black_and_white_take_one_bit(no_jxl):
    bits = RNG.integers(0, 2, (2, 64, 64), dtype=np.uint8)
    row = rows_of(bits)["PNG", "sheets"]
    assert 1 < row.bits_per_cell < 1.25  # headers of some 100 bytes beside 1,024
    assert rows_of(np.repeat(bits[..., None], 3, axis=3))["PNG", "sheets"].bytes > row.bytes


@pytest.mark.parametrize("values", [np.empty((0, 4, 4), np.uint8), [], np.zeros((2, 4, 4, 2), np.uint8)])
def test_nothing_to_compare(values):
    with pytest.raises(InputError, match="1, 3 or 4 channels; give at least one"):
        next(compared(values))


def test_sample(monkeypatch):
    images = np.arange(90, dtype=np.uint8)[:, None, None, None] + np.zeros((1, 3, 2, 2), np.uint8)

    def taken(most: int, cells: int = 2**25, block: int = 7) -> tuple[list[int], str | None]:
        monkeypatch.setattr(comparing, "MOST_IMAGES", most)
        monkeypatch.setattr(comparing, "MOST_CELLS", cells)
        sample = Sample(len(images))
        for start in range(0, len(images), block):
            sample.add(images[start : start + block])
        assert all(part.shape[1:] == (2, 2, 3) for part in sample.blocks)
        return [int(image[0, 0, 0]) for part in sample.blocks for image in part], sample.note

    assert taken(1000) == (list(range(90)), None)
    assert taken(90) == (list(range(90)), None)
    assert taken(10, block=50) == (
        [0, 10, 20, 30, 40, 49, 59, 69, 79, 89],
        "compared on 10 of 90 images, evenly spread",
    )
    assert taken(1000, cells=3 * 12)[0] == [0, 44, 89]
    assert taken(1000, cells=1)[0] == [0]


def test_figures_known_of_fashion_mnist(narrows_data, no_jxl, monkeypatch):
    """FIELD: PNG 4.16 bits a pixel as one sheet, xz 3.86; WebP at its best takes minutes and is left out."""
    monkeypatch.setattr(comparing, "ENCODERS", (PNG,))
    images = gzip.decompress((narrows_data / "fashion_mnist" / "t10k-images-idx3-ubyte.gz").read_bytes())[16:]
    rows = rows_of(np.frombuffer(images, np.uint8).reshape(10_000, 28, 28))
    assert rows["PNG", "sheets"].bits_per_cell == pytest.approx(4.16, abs=0.01)
    assert rows["xz", "raw stream"].bits_per_cell == pytest.approx(3.86, abs=0.01)


def test_figures_of_the_embedded_images(no_jxl):
    """Real photographs: a sheet is smaller than single images, WebP smaller than PNG, all below raw."""
    images = read("fashion-sample:test").values[:30, 0]
    rows = rows_of(images)
    assert 8 > rows["PNG", "one by one"].bits_per_cell > rows["PNG", "sheets"].bits_per_cell > 3
    assert rows["PNG", "sheets"].bytes > rows["WebP", "sheets"].bytes
