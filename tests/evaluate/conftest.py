"""Models whose log likelihood is known: linear ones in closed form, and curved ones of few codes by quadrature."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from scipy import stats

from narrows.data.schema import Schema
from narrows.distributions import SHIFT
from narrows.model import Model
from narrows.presets import choose


class Linear:
    """p(z) = N(0, I), p(x | z) = N(W z, s^2 I), q(z | x) = N(A x, diag(t^2)), in float64 on rows as they are.

    Parameters
    ----------
    codes, columns : int
        Numbers in a code, and in a row.
    widened : float
        Times which q is wider than the best diagonal one; where W has orthogonal columns and this is 1, q is p(z | x).
    orthogonal : bool
        Whether the columns of W are.
    """

    def __init__(self, codes: int = 2, columns: int = 5, *, widened: float = 1.0, orthogonal: bool = False) -> None:
        random = np.random.default_rng(1)
        self.W = random.normal(size=(columns, codes))
        if orthogonal:
            self.W = np.linalg.qr(self.W)[0] * np.linspace(2, 1, codes)
        self.s = 0.6
        precision = np.eye(codes) + self.W.T @ self.W / self.s**2
        self.A = np.linalg.solve(precision, self.W.T) / self.s**2
        self.t = widened * np.diag(precision) ** -0.5
        self.covariance = self.W @ self.W.T + self.s**2 * np.eye(columns)
        schema = Schema((columns,), -100.0, 100.0)
        settings = [f"latent.size={codes}", "network=mlp", "network.depth=0", f"likelihood.sigma={self.s}"]
        self.model = Model(choose("variational", schema, ["likelihood=gaussian", *settings]), schema).double().eval()
        (encoder,), (decoder,) = self.model.network.encoder, self.model.network.decoder
        with torch.no_grad():
            for weight in (*encoder.parameters(), *decoder.parameters()):
                weight.zero_()
            decoder.weight.copy_(torch.from_numpy(self.W))
            encoder.weight[:codes] = torch.from_numpy(self.A)
            encoder.bias[codes:] = torch.from_numpy(np.log(np.expm1(self.t - 1e-4)) - SHIFT)

    def rows(self, n: int, seed: int = 0) -> torch.Tensor:
        """Rows drawn from the model."""
        law = stats.multivariate_normal(np.zeros(len(self.W)), self.covariance, seed=seed)
        return torch.from_numpy(law.rvs(n).reshape(n, -1))

    def log_px(self, values: torch.Tensor) -> np.ndarray:
        """The exact log p(x) of rows."""
        return stats.multivariate_normal(np.zeros(len(self.W)), self.covariance).logpdf(values.numpy())


class Curved:
    """A decoder with random weights of one hidden layer, of 1 or 2 codes to bits, in float64."""

    def __init__(self, codes: int, cells: int = 12) -> None:
        schema = Schema((cells,), 0.0, 1.0, 1.0)
        settings = [f"latent.size={codes}", "network=mlp", "network.width=16", "likelihood=bernoulli"]
        self.model = Model(choose("variational", schema, settings), schema, seed=3).double().eval()
        with torch.no_grad():
            for weight in self.model.network.decoder.parameters():
                weight *= 4

    def log_px(self, values: torch.Tensor) -> np.ndarray:
        """log p(x) of rows by quadrature on a grid, which has all but 1e-14 of the prior's mass."""
        codes = self.model.latent.size
        axis = torch.linspace(-8, 8, 3001 if codes == 1 else 321, dtype=torch.float64)
        grid = torch.cartesian_prod(*[axis] * codes).view(-1, 1, codes)
        x = self.model.transform(values).x
        with torch.no_grad():
            log_pz = self.model.prior(1).log_prob(grid) + codes * math.log(axis[1] - axis[0])
            return torch.cat([(self.model.decode(grid).log_prob(one[None]) + log_pz).logsumexp(0) for one in x]).numpy()


@pytest.fixture(scope="session")
def linear():
    return Linear


@pytest.fixture(scope="session")
def curved():
    return Curved
