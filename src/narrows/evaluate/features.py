"""What an image shows, in 64 numbers: features of a small classifier of digits and clothes that comes with the package.

`benchmarks/features.py` trains it on the training images of MNIST and Fashion-MNIST. Distances in these features are
figures of their own, not to be set beside those that other networks give.
"""

from __future__ import annotations

import hashlib
from importlib.resources import files

import numpy as np
import safetensors.torch
import torch
from torch import Tensor, nn
from torch.nn.functional import interpolate

from narrows.data.schema import Schema
from narrows.pictures import as_pixels

FILE = "features.safetensors"
SHA_256 = "744ce15c7f4727a4b93ec29416b2a7fa6e4c9c543d14b16074ebf0d8b0742700"
SIDE = 28
SIZE = 64
CLASSES = 20  # ten digits, ten kinds of clothes
GREY = (0.299, 0.587, 0.114)  # of red, green and blue (ITU-R BT.601)
ROWS_AT_ONCE = 500


class Classifier(nn.Module):
    """Grey images (n, 1, 28, 28) on [0, 1] -> features (n, 64); `head` tells the class from them."""

    centre: Tensor
    spread: Tensor

    def __init__(self) -> None:
        super().__init__()
        layers: list[nn.Module] = []
        for given, made in ((1, 16), (16, 32), (32, 64)):
            layers += [nn.Conv2d(given, made, 3, stride=2, padding=1), nn.SiLU()]
        self.body = nn.Sequential(*layers, nn.Flatten(), nn.Linear(64 * 16, SIZE))
        self.head = nn.Sequential(nn.SiLU(), nn.Linear(SIZE, CLASSES))
        self.register_buffer("centre", torch.zeros(SIZE))
        self.register_buffer("spread", torch.ones(SIZE))

    def forward(self, images: Tensor) -> Tensor:
        """Features with mean 0 and deviation 1 over the images that the classifier was trained on."""
        return (self.body(images) - self.centre) / self.spread


def classifier() -> Classifier:
    """Read the classifier.

    Raises
    ------
    RuntimeError
        If its file is not the one that came with the package.
    """
    weights = files("narrows.evaluate").joinpath(FILE).read_bytes()
    if hashlib.sha256(weights).hexdigest() != SHA_256:
        raise RuntimeError(f"{FILE} is not the file that came with the package; install narrows again")
    network = Classifier()
    network.load_state_dict({name: tensor.float() for name, tensor in safetensors.torch.load(weights).items()})
    return network.eval()


def features_of(values: np.ndarray, schema: Schema) -> np.ndarray:
    """Raw images (n, c, h, w) -> features (n, 64), once they are grey, on [0, 1] and 28 pixels high and wide."""
    network = classifier()
    with torch.inference_mode():
        chunks = range(0, len(values), ROWS_AT_ONCE)
        found = [network(_grey(values[start : start + ROWS_AT_ONCE], schema)) for start in chunks]
    return torch.cat(found).double().numpy()


def _grey(values: np.ndarray, schema: Schema) -> Tensor:
    pixels = torch.from_numpy(as_pixels(values, schema)).float().movedim(3, 1) / 255
    if pixels.shape[1] == len(GREY):
        pixels = (pixels * torch.tensor(GREY)[:, None, None]).sum(1, keepdim=True)
    pixels = pixels.mean(1, keepdim=True)
    if pixels.shape[2:] == (SIDE, SIDE):
        return pixels
    return interpolate(pixels, (SIDE, SIDE), mode="bilinear", antialias=True, align_corners=False)
