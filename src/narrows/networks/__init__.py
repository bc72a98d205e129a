"""Shapes of function: the network axis."""

from narrows.networks.conv import Conv
from narrows.networks.mlp import Mlp

__all__ = ["Conv", "Mlp"]
