"""Estimators along the path of a draw that moves smoothly: the whole gradient of it, or that through the code alone."""

from __future__ import annotations

from typing import Any, ClassVar

import torch
from torch import Tensor
from torch.distributions import Distribution

from narrows.axes import Gradient, Latent, Objective
from narrows.noise import Noise
from narrows.sampling import sample
from narrows.values import Clock, Terms


class Pathwise(Gradient, kind="pathwise"):
    """The reparameterised estimator, unbiased: z = g(noise, parameters of q), differentiated through g.

    For a gaussian z = mu + sigma * noise (Kingma and Welling 2014, section 2.4); a deterministic code is its own path.
    Needs a code that moves smoothly with its parameters.
    """

    def draw(self, q: Distribution, k: int, noise: Noise, clock: Clock) -> tuple[Tensor, Distribution]:
        """Draw along the path."""
        return sample(q, k, noise), q

    def bias(self, latent: Latent, objective: Objective) -> str | None:
        """None."""
        return None

    def refuses_pair(self, latent: Latent, objective: Objective) -> str | None:
        """Discrete draws have no path."""
        if not latent.discrete:
            return None
        return (
            f"gradient {self.kind} needs a draw that moves smoothly, and {latent.kind} codes jump; take gradient=score "
            f"(unbiased) or gradient=straight-through"
        )


class Held(Distribution):
    """q whose density is a function of the value alone: its parameters are held, and get no gradient from it.

    No closed form of a divergence is registered for it, so that `Terms.kl` becomes one draw's share of it.

    Parameters
    ----------
    q : Distribution
        Anything with a ``log_prob``.
    """

    arg_constraints: ClassVar[dict[str, Any]] = {}

    def __init__(self, q: Distribution) -> None:
        self.q = q
        super().__init__(q.batch_shape, q.event_shape, validate_args=False)

    @property
    def mean(self) -> Tensor:
        """Mean of q."""
        return self.q.mean

    def log_prob(self, value: Tensor) -> Tensor:
        """Nats of q; their gradient is that through the value."""
        # What reaches the parameters by the second term takes away what reaches them by the first, but not through the
        # value. So nothing need be known of q but its density.
        still = self.q.log_prob(value.detach())
        return still.detach() + (self.q.log_prob(value) - still)


class StickingTheLanding(Pathwise, kind="sticking-the-landing"):
    """The path through the code alone, the parameters of log q held: unbiased for the elbo (Roeder et al. 2017).

    The gradient of log q in its parameters is 0 on average, and is left out: the nearer q comes to the true posterior,
    the less noise is left. The divergence is therefore one draw's share, also where a closed form is known. Biased for
    iwae of more than one draw, where weights that depend on the draws stand before what is left out.
    """

    def draw(self, q: Distribution, k: int, noise: Noise, clock: Clock) -> tuple[Tensor, Distribution]:
        """Draw along the path, to be scored with the parameters held."""
        return sample(q, k, noise), Held(q)

    def bias(self, latent: Latent, objective: Objective) -> str | None:
        """None where log q has a fixed weight."""
        return None if objective.linear else "the score that it leaves out is not 0 on average once draws are weighed"

    def refuses_pair(self, latent: Latent, objective: Objective) -> str | None:
        """Discrete draws have no path, deterministic codes no density, and a density that is held no units."""
        if objective.by_unit:
            return (
                f"gradient {self.kind} holds the density of a whole code, and objective {objective.kind} takes that of "
                f"each unit; take gradient=pathwise"
            )
        if latent.random:
            return super().refuses_pair(latent, objective)
        return (
            f"gradient {self.kind} needs a random code, and {latent.kind} codes are not; take gradient=pathwise or "
            f"latent=gaussian"
        )


class DoublyReparameterised(StickingTheLanding, kind="doubly-reparameterised"):
    """The path through the code alone, unbiased for iwae by squared weights (DReG; Tucker et al. 2019, eq. 8).

    With normalised weights w_i the gradient for the encoder is -sum_i w_i^2 (d log weight_i / dz_i) dz_i, for decoder
    and prior that of iwae, -sum_i w_i d log weight_i. Its signal does not drown in noise as the number of draws grows,
    as that of the plain path does.

    Where weights are warmed up, weight_i = p(x | z_i) (p(z_i) / q(z_i | x))^beta, what is left out has the weight beta:
    -beta E w_i d log q(z_i | x), at a held z_i, is -beta E (dw_i / dz_i) dz_i along the path, and w_i has the slope
    (w_i - w_i^2) d log weight_i / dz_i. So w_i - beta (w_i - w_i^2) stands in place of w_i^2.
    """

    instead = "gradient=pathwise"  # it weighs what goes back to a code, by a hook, and vmap knows of none

    def surrogate(self, cost: Tensor, terms: Terms, objective: Objective, clock: Clock) -> Tensor:
        """Mean of the combined cost; what goes back to a code, weighed by w_i, is weighed once more on its way."""
        if terms.z.requires_grad:
            again = torch.softmax(-cost.detach(), 0)
            if objective.scheduled:
                again = torch.lerp(torch.ones_like(again), again, objective.share(clock).to(again.dtype))
            again = again.reshape(*again.shape, *(1 for _ in terms.z.shape[2:]))
            terms.z.register_hook(lambda gradient: gradient * again)
        return super().surrogate(cost, terms, objective, clock)

    def bias(self, latent: Latent, objective: Objective) -> str | None:
        """None."""
        return None

    def refuses_pair(self, latent: Latent, objective: Objective) -> str | None:
        """Objectives without weights."""
        if objective.weighs:
            return super().refuses_pair(latent, objective)
        return (
            f"gradient {self.kind} weighs draws as objective iwae does, and objective {objective.kind} does not; take "
            f"objective=iwae or gradient=sticking-the-landing"
        )
