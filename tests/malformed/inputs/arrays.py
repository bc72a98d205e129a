"""NumPy files, IDX files and images."""

from __future__ import annotations

import gzip
import io
import struct
import zipfile
import zlib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from inputs.case import Case, file

GREY = np.arange(64, dtype=np.uint8).reshape(8, 8)
COLOUR = np.stack([GREY] * 3, 2)


def npy(array: Any, **options: Any) -> bytes:
    stream = io.BytesIO()
    np.save(stream, array, **options)
    return stream.getvalue()


def declared(header: str, cells: bytes = b"\0" * 64) -> bytes:
    """A NumPy file with such a header."""
    return b"\x93NUMPY\1\0" + struct.pack("<H", len(header) + 1) + header.encode() + b"\n" + cells


def npz(**members: bytes) -> bytes:
    stream = io.BytesIO()
    with zipfile.ZipFile(stream, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, content in members.items():
            archive.writestr(f"{name}.npy", content)
    return stream.getvalue()


def idx(magic: bytes, *sides: int, cells: bytes = b"") -> bytes:
    return magic + b"".join(side.to_bytes(4, "big") for side in sides) + cells


def png(pixels: np.ndarray = GREY, kind: str = "PNG", **options: Any) -> bytes:
    stream = io.BytesIO()
    Image.fromarray(pixels).save(stream, kind, **options)
    return stream.getvalue()


def huge_png(side: int) -> bytes:
    """A PNG that declares side x side pixels and holds none."""

    def chunk(kind: bytes, content: bytes) -> bytes:
        return struct.pack(">I", len(content)) + kind + content + struct.pack(">I", zlib.crc32(kind + content))

    head = struct.pack(">IIBBBBB", side, side, 8, 0, 0, 0, 0)
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", head) + chunk(b"IDAT", zlib.compress(b"")) + chunk(b"IEND", b"")


def files(**contents: bytes) -> Callable[[Path], Path]:
    """A folder of files, whose names have their last underscore for a point."""

    def make(folder: Path) -> Path:
        for name, content in contents.items():
            (folder / ".".join(name.rsplit("_", 1))).write_bytes(content)
        return folder

    return make


def archive(**contents: bytes) -> Callable[[Path], Path]:
    """The same as a zip file."""

    def make(folder: Path) -> Path:
        with zipfile.ZipFile(folder / "t.zip", "w", zipfile.ZIP_DEFLATED) as made:
            for name, content in contents.items():
                made.writestr(".".join(name.rsplit("_", 1)), content)
        return folder / "t.zip"

    return make


def tuple_header(shape: str, descr: str = "'<f8'", order: str = "False") -> str:
    return f"{{'descr': {descr}, 'fortran_order': {order}, 'shape': {shape}}}"


NPY, NPZ = "cannot be read as a NumPy file", "cannot be read as an .npz file"
IMAGES = "images 1x8x8 (channels x height x width), 256 levels from 0 to 255"
SOUND = npy(np.arange(12.0).reshape(4, 3))

CASES = (
    # --- .npy
    Case(".npy: empty file", file("", "t.npy"), refused=NPY),
    Case(".npy: not one", file("a,b\n1,2\n", "t.npy"), refused=NPY),
    Case(".npy: cut short", file(SOUND[:-9], "t.npy"), refused="which it does not hold"),
    Case(".npy: cut within its header", file(SOUND[:30], "t.npy"), refused=NPY),
    Case(
        ".npy: Python objects",
        file(npy(np.array([{}, 1], object), allow_pickle=True), "t.npy"),
        refused="pickled Python objects, which are never loaded",
    ),
    Case(
        ".npy: a petabyte declared",
        file(declared(tuple_header("(1125899906842624,)")), "t.npy"),
        refused="which it does not hold",
    ),
    Case(
        ".npy: sides whose product overflows",
        file(declared(tuple_header("(4294967296, 4294967296, 4294967296)")), "t.npy"),
        refused="which it does not hold",
    ),
    Case(".npy: a negative side", file(declared(tuple_header("(-1, 8)")), "t.npy"), refused="which it does not hold"),
    Case(
        ".npy: a header that is no dictionary", file(declared("__import__('os').system('true')"), "t.npy"), refused=NPY
    ),
    Case(".npy: an unknown type", file(declared(tuple_header("(8,)", "'<q9'")), "t.npy"), refused=NPY),
    Case(".npy: a later version", file(b"\x93NUMPY\x09\0" + SOUND[8:], "t.npy"), refused="format (9, 0)"),
    Case(".npy: complex numbers", file(npy(np.ones((3, 2), complex)), "t.npy"), refused="complex numbers"),
    Case(".npy: texts", file(npy(np.array([["x", "y"], ["z", "w"]])), "t.npy"), refused="holds text such as"),
    Case(".npy: dates", file(npy(np.array([["2024-01-01"]] * 3, "M8[D]")), "t.npy"), refused="holds dates"),
    Case(".npy: records", file(npy(np.zeros(3, [("a", "f8"), ("b", "i4")])), "t.npy"), refused="t.npy"),
    Case(".npy: no dimension", file(npy(np.float64(3)), "t.npy"), refused="has the shape ()"),
    Case(".npy: one dimension", file(npy(np.arange(9.0)), "t.npy"), refused="has the shape (9,)"),
    Case(
        ".npy: five dimensions", file(npy(np.ones((2, 2, 2, 2, 2))), "t.npy"), refused="examples of shape (2, 2, 2, 2)"
    ),
    Case(".npy: no examples", file(npy(np.ones((0, 3))), "t.npy"), refused="has the shape (0, 3)"),
    Case(".npy: no columns", file(npy(np.ones((3, 0))), "t.npy"), refused="has the shape (3, 0)"),
    Case(".npy: NaN", file(npy(np.array([[1, np.nan], [2, 3]])), "t.npy"), refused="NaN or infinite values in 1 cell"),
    Case(".npy: infinities", file(npy(np.array([[1, np.inf], [-np.inf, 3]])), "t.npy"), refused="in 2 cells"),
    Case(".npy: numbers beyond float32", file(npy(np.array([[1, 1e300], [2, 3]])), "t.npy"), refused="beyond 3.4e38"),
    Case(
        ".npy: the order of Fortran",
        file(npy(np.asfortranarray(np.arange(12.0).reshape(4, 3))), "t.npy"),
        treatment="read",
        result={"rows": 4, "shape": [3]},
    ),
    Case(
        ".npy: big-endian",
        file(npy(np.arange(12, dtype=">f8").reshape(4, 3)), "t.npy"),
        treatment="read",
        result={"rows": 4, "shape": [3]},
    ),
    Case(
        ".npy: 80-bit floats",
        file(npy(np.arange(12, dtype=np.longdouble).reshape(4, 3)), "t.npy"),
        treatment="read as float32",
        result={"rows": 4, "stored_as": "float32"},
    ),
    # --- .npz
    Case(".npz: empty file", file("", "t.npz"), refused=NPZ),
    Case(".npz: not one", file(b"PK\3\4 and no more", "t.npz"), refused=NPZ),
    Case(".npz: cut short", file(npz(x=SOUND)[:-30], "t.npz"), refused=NPZ),
    Case(".npz: no arrays", file(npz(), "t.npz"), refused="and it is open which of them the examples are"),
    Case(".npz: two arrays of no usual name", file(npz(p=SOUND, q=SOUND), "t.npz"), refused="it is open which of them"),
    Case(
        ".npz: an array that it has not",
        lambda folder: Path(f"{file(npz(p=SOUND), 't.npz')(folder)}:z"),
        refused="has no array 'z'",
    ),
    Case(
        ".npz: Python objects", file(npz(x=npy(np.array([[{}]], object), allow_pickle=True)), "t.npz"), refused="t.npz"
    ),
    Case(".npz: a damaged member", file(npz(x=b"\x93NUMPX" + SOUND[6:]), "t.npz"), refused="t.npz"),
    Case(
        ".npz: a member that declares a petabyte",
        file(npz(x=declared(tuple_header("(1125899906842624, 1)"))), "t.npz"),
        refused="which it does not hold",
    ),
    Case(
        ".npz: a bomb", file(lambda: npz(x=npy(np.zeros((3_000_000, 4)))), "t.npz"), refused="over 500 times its size"
    ),
    Case(
        ".npz: labels of another length",
        file(npz(x=SOUND, y=npy(np.arange(7))), "t.npz"),
        treatment="not taken for labels",
        result={"rows": 4, "labels": None},
    ),
    # --- IDX
    Case("IDX: empty file", file(b"", "t-idx3-ubyte"), refused="is no IDX file"),
    Case("IDX: a wrong magic number", file(idx(b"\0\0\7\3", 2, 2, 2), "t-idx3-ubyte"), refused="is no IDX file"),
    Case("IDX: cut within its header", file(b"\0\0\10\3\0\0", "t-idx3-ubyte"), refused="is no IDX file"),
    Case(
        "IDX: cells missing", file(idx(b"\0\0\10\3", 2, 8, 8, cells=b"\1" * 100), "t-idx3-ubyte"), refused="do not hold"
    ),
    Case(
        "IDX: cells too many",
        file(idx(b"\0\0\10\3", 2, 8, 8, cells=b"\1" * 200), "t-idx3-ubyte"),
        refused="do not hold",
    ),
    Case(
        "IDX: sides of four billion",
        file(idx(b"\0\0\10\3", *[2**32 - 1] * 3, cells=b"\1" * 9), "t-idx3-ubyte"),
        refused="do not hold",
    ),
    Case(
        "IDX: gzipped and cut short",
        file(gzip.compress(idx(b"\0\0\10\3", 2, 8, 8, cells=bytes(range(128))))[:-20], "t-idx3-ubyte.gz"),
        refused="cannot be read as an IDX file",
    ),
    Case("IDX: labels alone", file(idx(b"\0\0\10\1", 9, cells=bytes(9)), "t-idx1-ubyte"), refused="has the shape (9,)"),
    # --- images
    Case("a folder of nothing", files(), refused="holds no images"),
    Case("a folder of other files", files(notes_txt=b"x", t_json=b"{}"), refused="holds no images"),
    Case(
        "a folder of shards of two kinds",
        files(a_csv=b"a,b\n1,2\n", b_npy=b"x"),
        refused="holds files of several kinds",
    ),
    Case("a folder of shards with a damaged one", files(a_npy=b"x"), refused="leave out shards that cannot be read"),
    Case(
        "a folder with a hidden image",
        files(a_png=png(), **{"._b_png": b"junk"}),
        treatment="the hidden file is left out",
        result={"rows": 1},
    ),
    Case(
        "a folder with a file of zero bytes",
        files(a_png=png(), b_png=b""),
        refused="'b.png' cannot be read as an image",
    ),
    Case(
        "a folder with a PNG cut short",
        files(a_png=png(), b_png=png()[:-30]),
        refused="'b.png' cannot be read as an image",
    ),
    Case(
        "a folder with a PNG of damaged pixels",
        files(a_png=png(), b_png=png().replace(b"IDAT", b"IDAT\xff\xff")),
        refused="'b.png' cannot be read as an image",
    ),
    Case(
        "a folder of images of two sizes",
        files(a_png=png(), b_png=png(GREY[:4])),
        refused="bring all to one size and mode",
    ),
    Case(
        "a folder of grey and colour", files(a_png=png(), b_png=png(COLOUR)), refused="bring all to one size and mode"
    ),
    Case(
        "an animation",
        files(a_webp=png(COLOUR, "WEBP", save_all=True, append_images=[Image.fromarray(255 - COLOUR)])),
        refused="holds 2 pages or frames",
    ),
    Case("a GIF under .png", files(a_png=png(GREY, "GIF")), refused="cannot be read as an image"),
    Case(
        "a JPEG under .png", files(a_png=png(GREY, "JPEG")), treatment="read as what it is", result={"example": IMAGES}
    ),
    Case("text under .png", file("hello", "t.png"), refused="cannot be read as an image"),
    Case("SVG under .png", file("<svg/>", "t.png"), refused="cannot be read as an image"),
    Case("an SVG file", file("<svg/>", "t.svg"), refused="is of an unknown kind"),
    Case("a PNG of 900 million pixels and no bytes", file(huge_png(30_000), "t.png"), refused="has over"),
    Case("a PNG without pixels", file(huge_png(8), "t.png"), refused="cannot be read as an image"),
    Case("a PNG of no width", file(huge_png(0), "t.png"), refused="cannot be read as an image"),
    Case(
        "an image of one pixel",
        file(png(GREY[:1, :1]), "t.png"),
        treatment="read",
        result={"rows": 1, "shape": [1, 1, 1]},
    ),
    Case("a zip file of nothing", archive(), refused="holds no images"),
    Case("a zip file that is none", file(b"PK\3\4", "t.zip"), refused="cannot be read as a zip file"),
    Case(
        "a zip file cut short",
        lambda folder: file(archive(a_png=png())(folder).read_bytes()[:-30], "t.zip")(folder),
        refused="cannot be read as a zip file",
    ),
    Case(
        "a zip file with names that climb out",
        archive(**{"x/../../evil_png": png()}),
        treatment="read; nothing is unpacked to disk",
        result={"rows": 1},
    ),
    Case("a zip file that is a bomb", archive(a_bmp=b"BM" + b"\0" * 40_000_000), refused="over 500 times its size"),
    Case("a zip file within a zip file", archive(a_zip=npz(x=SOUND)), refused="holds no images"),
)
