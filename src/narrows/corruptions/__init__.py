"""What the encoder gets to see: the corruption axis. Units are those of what is seen, unless said otherwise."""

from narrows.corruptions.blind import BlindSpot, Recorrupted, Sure
from narrows.corruptions.hiding import Clean, Mask, Own
from narrows.corruptions.noisy import Gaussian, Poisson, SaltAndPepper

__all__ = ["BlindSpot", "Clean", "Gaussian", "Mask", "Own", "Poisson", "Recorrupted", "SaltAndPepper", "Sure"]
