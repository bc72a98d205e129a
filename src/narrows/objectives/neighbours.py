"""Codes laid out as a map: rows that are neighbours stay neighbours, whatever the reconstruction would rather have."""

from __future__ import annotations

import math

import torch
from torch import Tensor

from narrows.axes import Latent, Objective
from narrows.errors import at_least
from narrows.values import Clock, Terms

NEIGHBOURHOOD = 3  # neighbours that are looked at, to each that is meant (van der Maaten 2014, section 4.1)
LARGEST = 2000  # rows of which all pairs are looked at; larger batches come in parts
LEAST = -1e30  # the logarithm of next to nothing
HALVINGS = 40
PRECISIONS = (-20.0, 40.0)  # ln beta, of distances whose mean over the neighbourhood is 1


class Neighbours(Objective, kind="neighbours"):
    """Minus the elbo, and a price on neighbours that a map takes apart: parametric t-SNE (van der Maaten 2009).

    -log p(x | z) + KL(q(z | x) || p(z)) + weight * m * C, for rows of which m numbers are seen. C is a divergence over
    the pairs of a batch, sum_ij p_ij ln (p_ij / q_ij). p_ij says how near two rows are as the encoder sees them, p_ij =
    (p_{j|i} + p_{i|j}) / 2n and p_{j|i} proportional to exp(-beta_i |x_i - x_j|^2), beta_i such that exp(entropy of
    p_{.|i}) is the perplexity; q_ij how near their codes are, proportional to (1 + |z_i - z_j|^2 / v)^(-(v + 1) / 2),
    v = max(d - 1, 1) degrees of freedom for codes of d numbers. Row i pays for n sum_j p_ij ln (p_ij / q_ij), whose
    mean over the batch is C.

    It is a bound of nothing, and no figure of a row but of a batch: the larger the batch, the more rows there are to
    tell a neighbour from, and the larger C. Figures of epochs compare where batches are equally large; those of
    held-out rows, which come 1,000 at a time, compare with each other.

    Parameters
    ----------
    weight : float
        What one nat of C costs, in nats for each number that the encoder sees of a row, so that it weighs alike on
        tables and images; C comes to one to three nats, and a distortion to about one for each cell.
    perplexity : float
        Neighbours that are meant, in one batch; at most a third of the others in it.
    samples : int
        Codes drawn for each example.
    """

    besides = "price of neighbours taken apart"

    def __init__(self, weight: float = 2.0, perplexity: float = 5.0, samples: int = 1) -> None:
        super().__init__()
        at_least("objective.weight", weight, 0)
        at_least("objective.perplexity", perplexity, 1)
        at_least("objective.samples", samples, 1)
        self.weight = weight
        self.perplexity = perplexity
        self.samples = samples

    @property
    def compares(self) -> bool:
        """Always: neighbours are told from the whole batch."""
        return True

    @property
    def linear(self) -> bool:
        """Always: C is told from codes, and not from their densities."""
        return True

    @property
    def separate(self) -> bool:
        """Never: where a code is drawn moves what its neighbours pay."""
        return False

    def cost(self, terms: Terms, clock: Clock) -> Tensor:
        """Distortion, divergence or price, and the weighted share of C of each draw, (k, n)."""
        assert terms.seen is not None
        return terms.kl - terms.log_px + self.weight * terms.seen[0].numel() * self.apart(terms)

    def apart(self, terms: Terms) -> Tensor:
        """How far each draw takes neighbours apart, (k, n): C, as the mean over a batch, in nats."""
        assert terms.seen is not None
        shares = []
        for x, z in zip(terms.seen.split(LARGEST), terms.z.flatten(2).split(LARGEST, 1), strict=True):
            near = nearness(x, self.perplexity)
            shares.append(torch.stack([_shares(near, draw) for draw in z]))
        return torch.cat(shares, 1)

    def refuses_latent(self, latent: Latent) -> str | None:
        """What is no code."""
        if latent.size:
            return super().refuses_latent(latent)
        return (
            f"objective {self.kind} brings the codes of neighbours together, and latent {latent.kind} has none; take "
            f"latent=point, or objective=elbo"
        )


@torch.no_grad()
def nearness(x: Tensor, perplexity: float) -> Tensor:
    """How near two of n rows are, p_ij: (n, n), symmetric, 0 for a row with itself, with sum 1; 0 if there is but one.

    Parameters
    ----------
    x : Tensor, shape (n, ...)
        Rows, in a unit in which their distances mean something.
    perplexity : float
        exp of the entropy of each p_{.|i} in nats; at most a third of the other rows.
    """
    n = len(x)
    count = min(n - 1, math.ceil(NEIGHBOURHOOD * perplexity))
    if not count:
        return x.new_zeros(n, n)
    squared, places = _squared_distances(x.flatten(1)).fill_diagonal_(math.inf).topk(count, largest=False)
    p = _conditional(squared, max(0.0, min(math.log(perplexity), math.log(count / NEIGHBOURHOOD))))
    p = p.new_zeros(n, n).scatter_(1, places, p)
    return (p + p.T) / (2 * n)


def _conditional(squared: Tensor, wanted: float) -> Tensor:
    """p_{j|i} with the entropy that is wanted, over neighbours by their squared distances (n, m), from the nearest on.

    Where more neighbours than that are equally near, it is even over them.
    """
    squared = squared - squared[:, :1]  # the same p, and no row so far from all others that its numbers are all 0
    squared = squared / squared.mean(1, keepdim=True).clamp_min(torch.finfo(squared.dtype).tiny)
    low, high = (squared.new_full((len(squared), 1), end) for end in PRECISIONS)
    for _ in range(HALVINGS):
        log_beta = (low + high) / 2
        p = torch.softmax(-log_beta.exp() * squared, 1)
        wide = torch.special.entr(p).sum(1, keepdim=True) > wanted
        low, high = torch.where(wide, log_beta, low), torch.where(wide, high, log_beta)
    return torch.softmax(-((low + high) / 2).exp() * squared, 1)


def _shares(p: Tensor, z: Tensor) -> Tensor:
    """n sum_j p_ij ln (p_ij / q_ij) of each row i, for nearness (n, n) and codes (n, d): (n,)."""
    n, d = z.shape
    freedom = max(d - 1, 1)
    log_near = -0.5 * (freedom + 1) * torch.log1p(_squared_distances(z) / freedom)
    itself = torch.eye(n, dtype=torch.bool, device=z.device)
    log_q = log_near - log_near.masked_fill(itself, LEAST).logsumexp((0, 1))
    return n * (torch.xlogy(p, p) - p * log_q).sum(1)


def _squared_distances(x: Tensor) -> Tensor:
    """Squared euclidean distances between rows (n, x): (n, n), none below 0, those on the diagonal 0."""
    norms = x.square().sum(1)
    squared = torch.addmm(norms[:, None] + norms, x, x.T, alpha=-2).clamp_min(0.0)
    return squared.masked_fill(torch.eye(len(x), dtype=torch.bool, device=x.device), 0.0)
