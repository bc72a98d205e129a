"""Codes and what they cost: the latent axis."""

from narrows.latents.discrete import Bernoulli, Categorical
from narrows.latents.exact import KlSparse, L1, Point, TopK
from narrows.latents.gaussian import Gaussian
from narrows.latents.vector import VectorQuantized

__all__ = ["Bernoulli", "Categorical", "Gaussian", "KlSparse", "L1", "Point", "TopK", "VectorQuantized"]
