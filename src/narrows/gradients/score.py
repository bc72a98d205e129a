"""The score-function estimator: for any code that is drawn, through the density of the draw."""

from __future__ import annotations

from torch import Tensor
from torch.distributions import Distribution

from narrows.axes import Gradient, Latent, Objective
from narrows.errors import unknown
from narrows.gradients.baselines import BASELINES
from narrows.noise import Noise
from narrows.sampling import sample
from narrows.values import Clock, Terms


class Score(Gradient, kind="score"):
    """The score-function estimator, unbiased: each draw's log q moves by what the draw is worth (Williams 1992).

    grad E_q[L] = E_q[L grad log q(z) + grad L]. From the L of all draws, draw i subtracts L with its own cost replaced
    by what a baseline b_i expects of it. That does not depend on z_i, so the estimator stays unbiased, whatever the
    baseline: E_q[b grad log q(z)] = b grad 1 = 0. Under the elbo of k draws it comes to sum_i (cost_i - b_i) / k
    grad log q(z_i); under iwae with the mean of the others' costs to VIMCO (Mnih and Rezende 2016, eq. 10).

    Parameters
    ----------
    baseline : {"leave-one-out", "none", "average", "learned"}
        The mean of the example's other draws, of which there must be one; nothing; the moving average of all costs;
        or what a small network expects of the example.
    """

    def __init__(self, baseline: str = "leave-one-out") -> None:
        super().__init__()
        if baseline not in BASELINES:
            raise unknown("gradient.baseline", baseline, BASELINES)
        self.baseline = baseline
        self.expected = BASELINES[baseline]()

    def build(self, seen_shape: tuple[int, ...]) -> None:
        """Make what the baseline has of its own."""
        self.expected.build(seen_shape)

    def draw(self, q: Distribution, k: int, noise: Noise, clock: Clock) -> tuple[Tensor, Distribution]:
        """Draw with no path."""
        return sample(q, k, noise).detach(), q

    def surrogate(self, cost: Tensor, terms: Terms, objective: Objective, clock: Clock) -> Tensor:
        """Combined cost, plus each draw's advantage times its log q, plus what the baseline learns by."""
        combined, known = objective.combine(cost), cost.detach()
        advantage = combined.detach() - replaced(known, self.expected(known, terms), objective)
        return (combined + (advantage * terms.log_q).sum(0)).mean() + self.expected.learn(known, terms)

    def bias(self, latent: Latent, objective: Objective) -> str | None:
        """None where a draw moves no other draw's cost, which its own worth leaves out."""
        return None if objective.separate else "where a draw falls moves what other draws cost"

    def refuses_pair(self, latent: Latent, objective: Objective) -> str | None:
        """Deterministic codes, and fewer draws than the baseline needs."""
        if not latent.random:
            return (
                f"gradient score needs a random code, and {latent.kind} codes are not; take gradient=pathwise or "
                f"latent=gaussian"
            )
        if objective.samples < self.expected.draws:
            return (
                f"gradient score compares each draw with the others, and objective.samples is {objective.samples}; "
                f"take objective.samples=4, or gradient.baseline=average"
            )
        return None


def replaced(cost: Tensor, guess: Tensor, objective: Objective) -> Tensor:
    """Combine the costs (k, n) anew for each draw, its own replaced by a guess, broadcastable to (k, n): (k, n)."""
    k, n = cost.shape
    held = cost[:, None].expand(k, k, n).clone()
    held.diagonal().copy_(guess.expand(k, n).T)
    return objective.combine(held.reshape(k, k * n)).view(k, n)
