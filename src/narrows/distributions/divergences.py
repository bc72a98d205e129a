"""How far a distribution is from another: in closed form, unit by unit, or given the codes that were drawn."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.distributions import Distribution, kl_divergence

from narrows.distributions.chains import Chain


def divergence(q: Distribution, p: Distribution) -> Tensor | None:
    """KL(q || p) in nats, shape (n,), where a closed form is registered for the pair; None where there is none."""
    try:
        return kl_divergence(q, p)
    except NotImplementedError:
        return None


def divergence_by_unit(q: Distribution, p: Distribution) -> Tensor | None:
    """KL(q || p) unit by unit, in nats, shape (n, d); None where it does not split over units."""
    if not (hasattr(q, "base_dist") and hasattr(p, "base_dist")):
        return None
    by_unit = divergence(q.base_dist, p.base_dist)
    return None if by_unit is None else by_unit.flatten(1)


def divergence_given(q: Distribution, p: Distribution, z: Tensor) -> Tensor | None:
    """Each draw's share of KL(q || p) in nats, shape (k, n), where a part of it is known in closed form; else None.

    Of codes in levels it is the sum of KL(q(z_l | z_above) || p(z_l | z_above)), z (k, n, d) drawn from q. Its mean is
    the divergence, as that of log q(z) - log p(z) is, and it wavers less: each level's share is averaged over the
    draw of that level (Rao and Blackwell).
    """
    if not (isinstance(q, Chain) and isinstance(p, Chain)):
        return None
    levels = zip(q.given(z), p.given(z), strict=True)
    return torch.stack([kl_divergence(one, other).expand(z.shape[:-1]) for (one, _), (other, _) in levels]).sum(0)
