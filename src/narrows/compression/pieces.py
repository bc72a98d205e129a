"""What fits a codec of examples of one shape: planes of images for one channel, tiles of images of another size."""

from __future__ import annotations

import numpy as np

from narrows.compression.tiles import cut, joined
from narrows.errors import InputError

Shape = tuple[int, ...]


def check_fit(image: Shape, piece: Shape) -> None:
    """Raise `InputError` unless examples of one shape can be cut into pieces of another."""
    if image == piece or (len(image) == len(piece) == 3 and piece[0] in (1, image[0])):
        return
    raise InputError(
        f"the data hold examples of shape {image} and the model was trained on {piece}; give data like those that it "
        f"was trained on (a model of grey images takes colour ones too), or train a model on these"
    )


def pieces_in(image: Shape, piece: Shape) -> int:
    """How many pieces one example is cut into."""
    check_fit(image, piece)
    if image == piece:
        return 1
    return image[0] // piece[0] * -(-image[1] // piece[1]) * -(-image[2] // piece[2])


def in_pieces(values: np.ndarray, piece: Shape) -> np.ndarray:
    """Examples (n, *shape) as pieces (n * pieces, *piece): the channels one after the other, then tile by tile."""
    image = values.shape[1:]
    check_fit(image, piece)
    if image == piece:
        return values
    planes = values.reshape(-1, piece[0], *image[1:])
    return cut(planes, piece)  # type: ignore[arg-type]


def from_pieces(pieces: np.ndarray, image: Shape) -> np.ndarray:
    """The inverse of `in_pieces`, for examples of a shape."""
    piece = pieces.shape[1:]
    if image == piece:
        return pieces
    return joined(pieces, (piece[0], *image[1:])).reshape(-1, *image)
