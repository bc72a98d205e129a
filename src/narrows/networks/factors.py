"""A linear path that knows what a gap is, and a network beside it that learns what a linear map misses."""

from __future__ import annotations

import math
from collections.abc import Callable

import torch
from torch import Tensor, nn

from narrows.axes import Latent
from narrows.data.schema import Schema
from narrows.distributions import FullNormal
from narrows.networks.analysis import FactorAnalysis, analyse
from narrows.networks.mlp import Mlp
from narrows.values import Batch

LIMIT = 5.0  # deviations beyond which a cell pulls no harder: one cell at 100 must not make its row a row of extremes


class Factors(Mlp, kind="factors"):
    """Factor analysis of mixed tables, fitted in closed form, with a fully connected network beside each side of it.

    The encoder gives the exact posterior of the factors given the cells that a row has, whichever they are (Rubin and
    Thayer 1982): precision P = I + sum_i w_i w_i^T / s_i over the observed features i, of loadings w_i and noise s_i,
    and mean P^-1 sum_i w_i (x_i - b_i) / s_i. A network sees the row, its gaps filled by the factors, and moves the
    mean and narrows or widens the factor of the precision. The decoder is a linear map of the code, which begins as
    the loadings, plus a network. Both networks end in zeros, so that training begins at factor analysis, with the
    exact mean and spread of each gap in a linear-gaussian world, and on few rows need not leave it. The factors
    themselves stay as they were fitted. Cells beyond 5 deviations count as 5.

    Parameters
    ----------
    width : int
        Units in a hidden layer.
    depth : int
        Hidden layers, or residual blocks, on each side.
    residual : bool
        Whether layers are residual blocks.
    """

    loadings: Tensor
    offset: Tensor
    noise: Tensor
    gap: Tensor
    tells: Tensor

    def refuses(self, schema: Schema) -> str | None:
        """Data in which no cell is ever missing."""
        if schema.columns is not None:
            return None
        return f"network factors fills the gaps of mixed tables, and the data are {schema.describe()}; take network=mlp"

    def refuses_latent(self, latent: Latent) -> str | None:
        """Codes that are not gaussian, or whose numbers are independent."""
        if latent.full:
            return None
        return (
            f"network factors gives codes whose numbers depend on each other, which {latent.kind} codes cannot; take "
            f"latent=full-gaussian, or network=mlp"
        )

    def build(self, shape: tuple[int, ...], features: int, code: int, outputs: int) -> None:
        """Make the weights; the factors say nothing until `start`."""
        seen = math.prod(shape)
        self.size = code
        self.register_buffer("loadings", torch.zeros(seen, code))
        self.register_buffer("offset", torch.zeros(seen))
        self.register_buffer("noise", torch.ones(seen))
        self.register_buffer("gap", torch.zeros(seen, dtype=torch.int64))
        self.register_buffer("tells", torch.zeros(seen, dtype=torch.bool))
        self.encoder = _ending_in_zeros(self._side(seen + code, 2 * code))
        self.decoder = _ending_in_zeros(self._side(code, outputs))
        self.linear = nn.Linear(code, outputs)

    def start(self, examples: Callable[[], Batch], targets: Callable[[Tensor], Tensor | None]) -> Tensor | None:
        """Fit the factors to training rows, and the decoder's linear map to the targets."""
        batch = examples()
        wanted = targets(batch.x)
        if wanted is None:
            return None
        assert batch.owner is not None
        assert batch.blank is not None
        self.tells.copy_(batch.blank == 0)
        places = batch.blank.nonzero().flatten()
        self.gap.copy_(places[torch.searchsorted(batch.owner[places], batch.owner)])
        features = batch.seen.double().clamp(-LIMIT, LIMIT).where(self._observed(batch.seen), torch.nan)
        fitted = analyse(features, self.size)
        self.loadings.copy_(fitted.loadings)
        self.offset.copy_(fitted.offset)
        self.noise.copy_(fitted.noise)
        weight, bias, left = fitted.map_to(features, wanted.flatten(1).double().clamp(-LIMIT, LIMIT))
        self.linear.weight.copy_(weight)
        self.linear.bias.copy_(bias)
        return left.to(wanted.dtype)

    def encode(self, seen: Tensor) -> Tensor:
        """(n, f) -> h (n, d + d (d + 1) / 2), the numbers of a `FullNormal`."""
        observed = self._observed(seen)
        seen = seen.clamp(-LIMIT, LIMIT)
        # In float64, for columns that nearly repeat each other make the precision ill-conditioned.
        fitted = FactorAnalysis(self.loadings.double(), self.offset.double(), self.noise.double())
        mean, factor = fitted.posterior(seen.double().where(observed, torch.nan))
        filled = torch.where(observed | ~self.tells, seen, fitted.expected(mean).to(seen.dtype).clamp(-LIMIT, LIMIT))
        mean, factor = mean.to(seen.dtype), factor.to(seen.dtype)
        moved, narrowed = self.encoder(torch.cat([filled, _bounded(mean)], 1)).to(seen.dtype).chunk(2, 1)
        return FullNormal(mean + moved, factor * narrowed.exp().unsqueeze(1)).numbers()

    def decode(self, z: Tensor) -> Tensor:
        """Map codes (m, code) to likelihood parameters (m, outputs)."""
        with torch.autocast(z.device.type, enabled=False):  # what is left of a column that others tell is small
            out: Tensor = self.linear(z)
        return out + self.decoder(_bounded(z))

    def _observed(self, seen: Tensor) -> Tensor:
        """Which features (n, f) tell of a cell that is there."""
        return self.tells & (seen[:, self.gap] == 0)


def _bounded(z: Tensor) -> Tensor:
    """Codes as the networks see them: what they learnt of usual ones they must not carry on to extreme ones."""
    return LIMIT * torch.tanh(z / LIMIT)


def _ending_in_zeros(side: nn.Sequential) -> nn.Sequential:
    last = side[-1]
    nn.init.zeros_(last.weight)  # type: ignore[arg-type]
    nn.init.zeros_(last.bias)  # type: ignore[arg-type]
    return side
