"""No network: for a likelihood that needs no code."""

from __future__ import annotations

from torch import Tensor

from narrows.axes import Latent, Likelihood, Network


class Absent(Network, kind="none"):
    """No weights: there is no code to give, and nothing to make of one."""

    def refuses_latent(self, latent: Latent) -> str | None:
        """Codes that hold something."""
        if latent.whole:
            return super().refuses_latent(latent)
        if not latent.size:
            return None
        return (
            f"network none encodes nothing, and latent {latent.kind} wants {latent.n_params} numbers; take network=mlp"
        )

    def refuses_likelihood(self, likelihood: Likelihood) -> str | None:
        """One that wants to be told something."""
        if not likelihood.n_params:
            return None
        return (
            f"network none decodes nothing, and likelihood {likelihood.kind} wants numbers from a decoder"
            f"; take network=mlp, or likelihood=local with likelihood.told=0"
        )

    def build(self, shape: tuple[int, ...], features: int, code: int, outputs: int) -> None:
        """Make nothing."""

    def encode(self, seen: Tensor) -> Tensor:
        """(n, x) -> (n, 0)."""
        return seen.flatten(1)[:, :0]

    def decode(self, z: Tensor) -> Tensor:
        """(m, 0) -> (m, 0)."""
        return z
