"""Vector-quantised codes."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.distributions import Distribution

from narrows.axes import Latent
from narrows.distributions import Flat, Point
from narrows.errors import at_least
from narrows.workers import whole

USE_MOMENTUM = 0.01
DEAD_BELOW = 0.03  # share of an even split of the vectors under which an entry counts as dead


class VectorQuantized(Latent, kind="vq"):
    """Each code is a row of vectors, every one of them replaced by the nearest entry of a learned codebook.

    With vectors h_i and nearest entries e_i the price is ``sum_i |sg(h_i) - e_i|^2 + commitment |h_i - sg(e_i)|^2``
    (sg cuts the gradient), and the gradient passes from z to h unchanged (van den Oord et al. 2017, equation 3). In
    training an entry that is hardly used moves to a vector that is badly served, so the codebook does not die.

    Parameters
    ----------
    vectors : int
        Vectors in one code.
    dim : int
        Numbers in one vector.
    entries : int
        Entries in the codebook.
    commitment : float
        Weight that holds the encoder to its entry.
    """

    instead = "latent=gaussian"  # which entries move, and how many, hangs on how often each was used
    asks_host = True
    use: Tensor
    remedy = "entries of the codebook are never picked: take a smaller latent.entries, or train longer"

    def __init__(self, vectors: int = 8, dim: int = 4, entries: int = 256, commitment: float = 0.25) -> None:
        super().__init__()
        at_least("latent.vectors", vectors, 1)
        at_least("latent.dim", dim, 1)
        at_least("latent.entries", entries, 2)
        at_least("latent.commitment", commitment, 0)
        self.vectors = vectors
        self.dim = dim
        self.entries = entries
        self.commitment = commitment
        self.size = vectors * dim
        self.codebook = nn.Parameter(torch.empty(entries, dim))
        nn.init.normal_(self.codebook, std=dim**-0.5)
        self.register_buffer("use", torch.full((entries,), 1 / entries))

    def nearest(self, h: Tensor) -> Tensor:
        """Index of the entry nearest to each vector: (..., dim) -> (...)."""
        # |h - e|^2 less |h|^2, which is the same for every entry.
        distance = torch.addmm(self.codebook.square().sum(1), h.reshape(-1, self.dim), self.codebook.T, alpha=-2)
        return distance.argmin(1).view(h.shape[:-1])

    def posterior(self, h: Tensor) -> Distribution:
        """All mass at the nearest entries; the price holds codebook and encoder together."""
        vectors = h.view(-1, self.vectors, self.dim)
        picked = self.nearest(vectors)
        if self.training:
            picked = self._revive(vectors.detach(), picked)
        entries = self.codebook[picked]
        price = (vectors.detach() - entries).square() + self.commitment * (vectors - entries.detach()).square()
        z = entries.detach() + (vectors - vectors.detach())
        return Point(z.flatten(1), price.sum((1, 2)))

    def prior(self, n: int, device: torch.device) -> Distribution:
        """Return the flat prior: the entries' frequencies are not part of the model."""
        return Flat(n, (self.size,))

    def used(self, codes: Tensor) -> Tensor:
        """Whether each entry of the codebook, shape (entries,), is picked for any of the codes (n, size)."""
        picked = self.nearest(codes.view(-1, self.vectors, self.dim))
        return torch.bincount(picked.flatten(), minlength=self.entries) > 0

    @torch.no_grad()
    def _revive(self, vectors: Tensor, picked: Tensor) -> Tensor:
        """Count the use of each entry, and move dead ones to the vectors farthest from theirs."""
        all_vectors, all_picked = whole(vectors), whole(picked)
        share = torch.bincount(all_picked.flatten(), minlength=self.entries).to(self.use.dtype) / all_picked.numel()
        self.use.lerp_(share, USE_MOMENTUM)
        dead = self.use * self.entries < DEAD_BELOW
        distance = (all_vectors - self.codebook[all_picked]).square().sum(2).flatten()
        moved = min(self.entries, distance.shape[0])
        worst = all_vectors.reshape(-1, self.dim)[distance.topk(moved).indices].to(self.codebook.dtype)
        target = dead.nonzero().flatten()[:moved]
        if not len(target):
            return picked
        self.codebook[target] = worst[: len(target)]
        self.use[target] = 1 / self.entries
        return self.nearest(vectors)
