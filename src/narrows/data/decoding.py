"""One encoded image -> its pixels: 8-bit grey, 16-bit grey, RGB or RGBA, whichever holds all of it."""

from __future__ import annotations

import io
import struct
import warnings
import zlib
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from narrows.data.wording import brief, short
from narrows.errors import InputError

if TYPE_CHECKING:
    from PIL.Image import Image

# Only the decoders that the suffixes of images call for: a file with a wrong suffix shall not reach a rarer one.
_FORMATS = ("PNG", "JPEG", "WEBP", "BMP", "DIB", "TIFF")
_PNG = b"\x89PNG\r\n\x1a\n"
_CHANNELS = {"L": 1, "I;16": 1, "RGB": 3, "RGBA": 4}
_SPOKEN = {"L": "grey", "I;16": "16-bit grey", "RGB": "colour (RGB)", "RGBA": "colour with transparency (RGBA)"}
# What decoders raise at damaged data.
_BROKEN = (
    OSError,
    SyntaxError,
    ValueError,
    TypeError,
    KeyError,
    IndexError,
    EOFError,
    OverflowError,
    ZeroDivisionError,
)
_BROKEN_IMAGE = (*_BROKEN, struct.error, zlib.error, NotImplementedError, RuntimeError)


@dataclass(frozen=True)
class Encoded:
    """An encoded image: its name, its size in bytes and how to get at them."""

    name: str
    size: int
    load: Callable[[], bytes]


def mode_of(image: np.ndarray) -> str:
    """Pillow's name of the mode of decoded pixels."""
    if image.ndim == 2:
        return "L" if image.dtype == np.uint8 else "I;16"
    return "RGB" if image.shape[2] == 3 else "RGBA"


def described(image: np.ndarray) -> str:
    """Size and mode of decoded pixels, for a person."""
    return f"{image.shape[1]}x{image.shape[0]} {_SPOKEN[mode_of(image)]}"


def decoded_png(data: bytes, name: str, most: int) -> np.ndarray:
    """Pixels of a PNG file in memory, (height, width) or (height, width, channels), as `Pictures` gives them.

    Raises
    ------
    InputError
        If it is none, damaged, or says that it has more pixels than ``most``, which is known before any is decoded.
    """
    width, height = struct.unpack(">II", data[16:24]) if len(data) >= 24 and data.startswith(_PNG) else (0, 0)
    if width * height > most:
        raise InputError(f"the image {short(name)} has {width * height} pixels; at most {most} are taken")
    return decoded(Encoded(name, len(data), lambda: data), formats=("PNG",))


def decoded(entry: Encoded, formats: tuple[str, ...] = _FORMATS) -> np.ndarray:
    """Pixels of one image, (height, width) or (height, width, channels).

    Raises
    ------
    InputError
        If it is none, damaged, too large, or would be read in part only.
    """
    from PIL import Image, ImageOps, UnidentifiedImageError

    try:
        with warnings.catch_warnings():
            # Pillow warns of a bomb before it refuses at twice the size; here a warning is a refusal.
            # Of flaws beside the pixels, such as a torn EXIF block, it warns and reads on; so do we, in silence.
            warnings.simplefilter("ignore", UserWarning)
            warnings.simplefilter("error", Image.DecompressionBombWarning)
            image = Image.open(io.BytesIO(entry.load()), formats=formats)
            _refuse_loss(image, entry.name)
            return _pixels(ImageOps.exif_transpose(image), entry.name)
    except InputError:
        raise
    except (Image.DecompressionBombWarning, Image.DecompressionBombError) as error:
        limit = Image.MAX_IMAGE_PIXELS
        raise InputError(f"the image {short(entry.name)} has over {limit} pixels; cut it into smaller ones") from error
    except UnidentifiedImageError as error:
        raise InputError(
            f"{short(entry.name)} cannot be read as an image (it is none, or its beginning is damaged); mend it"
        ) from error
    except _BROKEN_IMAGE as error:
        raise InputError(
            f"{short(entry.name)} cannot be read as an image ({brief(error)}); mend or remove it"
        ) from error


def _refuse_loss(image: Image, name: str) -> None:
    """Refuse what Pillow would read in part only: more pages than one, colours deeper than 8 bits."""
    pages = getattr(image, "n_frames", 1)
    if pages > 1 and image.format != "MPO":
        raise InputError(f"the image {short(name)} holds {pages} pages or frames; save each as a file of its own")
    raw = str([tile[3] for tile in getattr(image, "tile", ())])
    if ";16" in raw and _CHANNELS.get(image.mode) != 1 and not image.mode.startswith("I"):
        raise InputError(
            f"the image {short(name)} has colours of 16 bits; save it with 8 bits a channel, or as an .npy array"
        )


def _pixels(image: Image, name: str) -> np.ndarray:
    """The image as 8-bit grey, 16-bit grey, RGB or RGBA, whichever holds all of it."""
    if image.mode.startswith("I") or image.mode == "F":
        cells = np.asarray(image)
        if image.mode == "F" or cells.min() < 0 or cells.max() > 0xFFFF:
            raise InputError(
                f"the image {short(name)} has pixels of 32 bits; save it with 8 or 16 bits, or as an .npy array"
            )
        return cells.astype(np.uint16)
    return np.asarray(image.convert(_plain_mode(image)))


def _plain_mode(image: Image) -> str:
    if image.mode in ("1", "L", "RGB", "RGBA"):
        return "L" if image.mode == "1" else image.mode
    if image.mode in ("P", "PA", "LA", "La", "RGBa") and (image.has_transparency_data or image.mode != "P"):
        return "RGBA"
    if image.mode == "P":
        return "L" if _grey_palette(image) else "RGB"
    return "RGB"


def _grey_palette(image: Image) -> bool:
    colours: Any = np.asarray(image.convert("RGB"))
    return bool((colours == colours[..., :1]).all())
