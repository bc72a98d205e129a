"""Codes and what they cost: the latent axis."""

from narrows.latents.discrete import Bernoulli, Categorical
from narrows.latents.exact import L1, KlSparse, Nothing, Point, TopK, Whole
from narrows.latents.flows import Flow
from narrows.latents.gaussian import FullGaussian, Gaussian
from narrows.latents.ladder import Ladder
from narrows.latents.priors import Mixture, Prior, Standard, Vamp
from narrows.latents.vector import VectorQuantized

__all__ = [
    "L1",
    "Bernoulli",
    "Categorical",
    "Flow",
    "FullGaussian",
    "Gaussian",
    "KlSparse",
    "Ladder",
    "Mixture",
    "Nothing",
    "Point",
    "Prior",
    "Standard",
    "TopK",
    "Vamp",
    "VectorQuantized",
    "Whole",
]
