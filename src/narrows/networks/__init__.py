"""Shapes of function: the network axis."""

from narrows.networks.conv import Conv
from narrows.networks.factors import Factors
from narrows.networks.mlp import Mlp

__all__ = ["Conv", "Factors", "Mlp"]
