"""Shapes of function: the network axis."""

from narrows.networks.absent import Absent
from narrows.networks.around import Shallow, UNet
from narrows.networks.conv import Conv
from narrows.networks.dictionary import Dictionary
from narrows.networks.factors import Factors
from narrows.networks.mlp import Mlp

__all__ = ["Absent", "Conv", "Dictionary", "Factors", "Mlp", "Shallow", "UNet"]
