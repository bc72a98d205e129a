import io
import struct
import zipfile
import zlib
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from narrows.data import limits, read
from narrows.errors import InputError

COLOUR = np.random.default_rng(0).integers(0, 256, (6, 5, 7, 3), dtype=np.uint8)


def refusal(source: object, **options: object) -> str:
    with pytest.raises(InputError) as caught:
        read(source, **options)
    assert "\n" not in str(caught.value)
    return str(caught.value)


def save_folder(folder: Path, values: np.ndarray, suffix: str = ".png") -> Path:
    folder.mkdir()
    for place, image in enumerate(values):
        Image.fromarray(image).save(folder / f"{place:03d}{suffix}")
    return folder


def save_zip(path: Path, members: dict[str, bytes]) -> Path:
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, content in members.items():
            archive.writestr(name, content)
    return path


def png(image: np.ndarray) -> bytes:
    stream = io.BytesIO()
    Image.fromarray(image).save(stream, "PNG")
    return stream.getvalue()


def png_header(width: int, height: int, depth: int, colour: int, cells: bytes = b"") -> bytes:
    def chunk(name: bytes, content: bytes) -> bytes:
        return struct.pack(">I", len(content)) + name + content + struct.pack(">I", zlib.crc32(name + content))

    sides = struct.pack(">IIBBBBB", width, height, depth, colour, 0, 0, 0)
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", sides) + chunk(b"IDAT", zlib.compress(cells)) + chunk(b"IEND", b"")


@pytest.mark.parametrize("suffix", [".png", ".bmp", ".tif", ".TIFF"])
@pytest.mark.parametrize("values", [COLOUR, COLOUR[..., 0]], ids=["colour", "grey"])
def test_folder_of_images(tmp_path: Path, values: np.ndarray, suffix: str) -> None:
    folder = save_folder(tmp_path / "images", values, suffix)
    (folder / "notes.txt").write_text("no image")
    (folder / ".hidden.png").write_text("no image")
    data = read(folder)
    assert data.values.dtype == np.uint8
    assert np.array_equal(data.schema.to_user(data.values), values)


@pytest.mark.parametrize(("suffix", "options"), [(".webp", {"lossless": True}), (".jpg", {}), (".jpeg", {})])
def test_other_image_formats(tmp_path: Path, suffix: str, options: dict[str, bool]) -> None:
    Image.fromarray(COLOUR[0]).save(tmp_path / f"x{suffix}", **options)
    assert read(tmp_path / f"x{suffix}").schema.shape == (3, 5, 7)


def test_images_in_folders_in_the_order_of_their_names(tmp_path: Path) -> None:
    (tmp_path / "b").mkdir()
    for name, image in (("b/1.png", COLOUR[1]), ("a.png", COLOUR[0]), ("c.png", COLOUR[2])):
        Image.fromarray(image).save(tmp_path / name)
    data = read(tmp_path)
    assert np.array_equal(data.schema.to_user(data.values), COLOUR[:3])


def test_zip_of_images(tmp_path: Path) -> None:
    members = {f"set/{place}.png": png(image) for place, image in enumerate(COLOUR)}
    members |= {"__MACOSX/set/._0.png": b"no image", "set/._1.png": b"no image", "../x.txt": b"ignored"}
    data = read(save_zip(tmp_path / "x.zip", members))
    assert np.array_equal(data.schema.to_user(data.values), COLOUR)


def test_transparent_images(tmp_path: Path) -> None:
    values = np.concatenate([COLOUR, COLOUR[..., :1]], axis=3)
    data = read(save_folder(tmp_path / "images", values))
    assert data.schema.shape == (4, 5, 7)
    assert np.array_equal(data.schema.to_user(data.values), values)


def test_deep_grey_images(tmp_path: Path) -> None:
    values = COLOUR[..., 0].astype(np.uint16) * 257
    for suffix in (".png", ".tif"):
        data = read(save_folder(tmp_path / suffix, values, suffix))
        assert data.values.dtype == np.uint16
        assert np.array_equal(data.values[:, 0], values)


def test_images_of_few_colours(tmp_path: Path) -> None:
    black = Image.fromarray(COLOUR[0, ..., 0] > 100)
    black.save(tmp_path / "black.png")
    data = read(tmp_path / "black.png")
    assert data.schema.values == "binary"
    assert np.array_equal(data.values[0, 0] == 255, COLOUR[0, ..., 0] > 100)
    Image.fromarray(COLOUR[0, ..., 0]).convert("P").save(tmp_path / "grey.png")
    assert np.array_equal(read(tmp_path / "grey.png").values[0, 0], COLOUR[0, ..., 0])
    palette = Image.fromarray(COLOUR[0]).quantize(8)
    palette.save(tmp_path / "colour.png")
    assert np.array_equal(
        np.moveaxis(read(tmp_path / "colour.png").values[0], 0, 2), np.asarray(palette.convert("RGB"))
    )


def test_images_stand_upright(tmp_path: Path) -> None:
    image = Image.fromarray(COLOUR[0])
    exif = image.getexif()
    exif[0x0112] = 6
    image.save(tmp_path / "x.png", exif=exif)
    data = read(tmp_path / "x.png")
    assert np.array_equal(data.schema.to_user(data.values)[0], np.rot90(COLOUR[0], -1))


def test_images_that_differ(tmp_path: Path) -> None:
    folder = save_folder(tmp_path / "images", COLOUR)
    Image.fromarray(COLOUR[0, :4]).save(folder / "003.png")
    message = refusal(folder)
    assert "'003.png' is 7x4 colour (RGB) and '000.png' is 7x5 colour (RGB)" in message
    Image.fromarray(COLOUR[0, ..., 0]).save(folder / "002.png")
    assert "'002.png' is 7x5 grey and '000.png' is 7x5 colour (RGB)" in refusal(folder)


def test_bad_images(tmp_path: Path) -> None:
    assert "holds no images" in refusal(tmp_path)
    folder = save_folder(tmp_path / "images", COLOUR)
    (folder / "004.png").write_bytes(b"no image")
    assert "'004.png' cannot be read as an image" in refusal(folder)
    (folder / "004.png").write_bytes((folder / "003.png").read_bytes()[:-40])
    assert "'004.png' cannot be read as an image" in refusal(folder)
    # A picture of a format that no suffix of ours stands for does not even reach its decoder.
    Image.fromarray(COLOUR[0]).save(folder / "004.png", "GIF")
    assert "'004.png' cannot be read as an image" in refusal(folder)


def test_images_that_would_lose_something(tmp_path: Path) -> None:
    (tmp_path / "deep.png").write_bytes(png_header(2, 2, 16, 2, bytes(26)))
    assert "colours of 16 bits" in refusal(tmp_path / "deep.png")
    pages = [Image.fromarray(image) for image in COLOUR]
    pages[0].save(tmp_path / "pages.tif", save_all=True, append_images=pages[1:])
    assert "holds 6 pages" in refusal(tmp_path / "pages.tif")
    Image.fromarray(COLOUR[0, ..., 0].astype(np.float32)).save(tmp_path / "real.tif")
    assert "pixels of 32 bits" in refusal(tmp_path / "real.tif")


@pytest.mark.parametrize("side", [9500, 30000])
def test_image_bomb(tmp_path: Path, side: int) -> None:
    (tmp_path / "x.png").write_bytes(png_header(side, side, 8, 0))
    assert f"has over {Image.MAX_IMAGE_PIXELS} pixels" in refusal(tmp_path / "x.png")


def test_bomb_of_many_images(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(limits, "FREE_BYTES", 1000)
    blank = png(np.zeros((1000, 1000), np.uint8))
    assert "over 500 times its size" in refusal(save_zip(tmp_path / "x.zip", {"a.png": blank, "b.png": blank}))
    assert "over 500 times its size" in refusal(save_zip(tmp_path / "y.zip", {"a.png": bytes(10**6)}))


def test_bad_zip(tmp_path: Path) -> None:
    path = tmp_path / "x.zip"
    path.write_bytes(b"no zip")
    assert "cannot be read as a zip file" in refusal(path)
    assert "holds no images" in refusal(save_zip(path, {"table.csv": b"a,b\n1,2\n"}))
    save_zip(path, {"a.png": png(COLOUR[0])})
    content = bytearray(path.read_bytes())
    content[60] ^= 0xFF
    path.write_bytes(content)
    assert refusal(path)
