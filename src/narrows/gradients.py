"""How a gradient passes through a draw: the gradient axis."""

from __future__ import annotations

from torch import Tensor
from torch.distributions import Distribution

from narrows.axes import Gradient, Latent, Objective
from narrows.noise import Noise
from narrows.sampling import sample
from narrows.values import Clock, Terms


class Pathwise(Gradient, kind="pathwise"):
    """The reparameterised estimator: z = g(noise, parameters of q), differentiated through g.

    For a gaussian z = mu + sigma * noise (Kingma and Welling 2014, section 2.4); a deterministic code is its own path.
    Unbiased; needs a code that moves smoothly with its parameters.
    """

    def draw(self, q: Distribution, k: int, noise: Noise, clock: Clock) -> tuple[Tensor, Distribution]:
        """Draw along the path."""
        return sample(q, k, noise), q

    def surrogate(self, cost: Tensor, terms: Terms, objective: Objective) -> Tensor:
        """Mean of the combined cost itself."""
        return objective.combine(cost).mean()

    def bias(self, latent: Latent, objective: Objective) -> str | None:
        """None."""
        return None

    def refuses_pair(self, latent: Latent, objective: Objective) -> str | None:
        """Discrete draws have no path."""
        if not latent.discrete:
            return None
        return (
            f"gradient pathwise needs a draw that moves smoothly, and {latent.kind} codes jump; take gradient=score "
            f"(unbiased) or gradient=straight-through"
        )


class Score(Gradient, kind="score"):
    """The score-function estimator with a leave-one-out baseline (REINFORCE; Williams 1992, Kool et al. 2019).

    grad E_q[L] = E_q[L grad log q(z) + grad L]. From the L of all draws, draw i subtracts L with its own cost replaced
    by the mean of the others', which it does not depend on, so the estimator stays unbiased. With the elbo this is the
    leave-one-out baseline; with iwae it is VIMCO (Mnih and Rezende 2016, eq. 10). Needs at least two draws.
    """

    def draw(self, q: Distribution, k: int, noise: Noise, clock: Clock) -> tuple[Tensor, Distribution]:
        """Draw with no path."""
        return sample(q, k, noise).detach(), q

    def surrogate(self, cost: Tensor, terms: Terms, objective: Objective) -> Tensor:
        """Combined cost, plus each draw's advantage times its log q."""
        combined = objective.combine(cost)
        advantage = combined.detach() - leave_one_out(cost.detach(), objective)
        return (combined + (advantage * terms.log_q).sum(0)).mean()

    def bias(self, latent: Latent, objective: Objective) -> str | None:
        """None."""
        return None

    def refuses_pair(self, latent: Latent, objective: Objective) -> str | None:
        """Deterministic codes, and a single draw."""
        if not latent.random:
            return (
                f"gradient score needs a random code, and {latent.kind} codes are not; take gradient=pathwise or "
                f"latent=gaussian"
            )
        if objective.samples < 2:
            return (
                f"gradient score compares each draw with the others, and objective.samples is {objective.samples}; "
                f"take objective.samples=4"
            )
        return None


def leave_one_out(cost: Tensor, objective: Objective) -> Tensor:
    """Combine the costs anew for each draw, its own replaced by the mean of the others': (k, n) -> (k, n)."""
    k, n = cost.shape
    others = (cost.sum(0) - cost) / (k - 1)
    held = cost[:, None].expand(k, k, n).clone()
    held.diagonal().copy_(others.T)
    return objective.combine(held.reshape(k, k * n)).view(k, n)


class StraightThrough(Gradient, kind="straight-through"):
    """A hard draw forward, the gradient of the mean backward (Bengio et al. 2013). Biased, and of low variance."""

    def draw(self, q: Distribution, k: int, noise: Noise, clock: Clock) -> tuple[Tensor, Distribution]:
        """Draw hard values that carry the gradient of the mean."""
        mean = q.mean
        return sample(q, k, noise).detach() + (mean - mean.detach()), q

    def surrogate(self, cost: Tensor, terms: Terms, objective: Objective) -> Tensor:
        """Mean of the combined cost itself."""
        return objective.combine(cost).mean()

    def bias(self, latent: Latent, objective: Objective) -> str | None:
        """Always."""
        return "the slope of a step is taken for 1"

    def refuses_pair(self, latent: Latent, objective: Objective) -> str | None:
        """Codes that have a path, or none drawn."""
        if latent.discrete:
            return None
        return (
            f"gradient straight-through is for discrete draws, and {latent.kind} codes have a path; take "
            f"gradient=pathwise"
        )
