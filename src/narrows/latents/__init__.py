"""Codes and what they cost: the latent axis."""

from narrows.latents.conditional import Conditional
from narrows.latents.discrete import Bernoulli, Categorical
from narrows.latents.exact import KlSparse, Nothing, Point, Sphere, Whole
from narrows.latents.flows import Flow
from narrows.latents.gaussian import FullGaussian, Gaussian
from narrows.latents.jump import JumpRelu
from narrows.latents.ladder import Ladder
from narrows.latents.priors import Mixture, Prior, Standard, Vamp
from narrows.latents.sparse import L1, BatchTopK, Matryoshka, TopK
from narrows.latents.vector import VectorQuantized

__all__ = [
    "L1",
    "BatchTopK",
    "Bernoulli",
    "Categorical",
    "Conditional",
    "Flow",
    "FullGaussian",
    "Gaussian",
    "JumpRelu",
    "KlSparse",
    "Ladder",
    "Matryoshka",
    "Mixture",
    "Nothing",
    "Point",
    "Prior",
    "Sphere",
    "Standard",
    "TopK",
    "Vamp",
    "VectorQuantized",
    "Whole",
]
