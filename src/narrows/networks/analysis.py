"""Factor analysis of rows with gaps, by the EM algorithm."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from narrows.noise import Noise

ROUNDS = 40
FEWEST_ROUNDS = 5
WORK = 7e10  # products of all rounds, some ten seconds; fewer rounds where a table is wider than that allows
POWERS = 10
SETTLED = 0.01
TARGET_ROUNDS = 2
# Prior precision of a loading: features are about as wide as 1, and no factor needs to say more than a share of that.
PRIOR = 30.0
FLAT = 1e-6  # that of an offset
SMALLEST_NOISE = 1e-3
FIRST_NOISE = 0.1


@dataclass(frozen=True)
class FactorAnalysis:
    """x = W z + b + e with z of N(0, I) and e of N(0, diag(s)) (Rubin and Thayer 1982).

    Parameters
    ----------
    loadings : Tensor, shape (f, d)
        W.
    offset : Tensor, shape (f,)
        b.
    noise : Tensor, shape (f,)
        s, the variance of what the factors do not tell.
    """

    loadings: Tensor
    offset: Tensor
    noise: Tensor

    def expected(self, z: Tensor) -> Tensor:
        """Mean of x (n, f) given z (n, d)."""
        return z @ self.loadings.T + self.offset

    def map_to(self, x: Tensor, targets: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """The regression whose noise is that which it finds, to within a few rounds."""
        found = self.regression(x, targets, torch.ones_like(targets[0]))
        for _ in range(TARGET_ROUNDS):
            found = self.regression(x, targets, found[2])
        return found

    def posterior(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """Mean (n, d), and Cholesky factor of the precision (n, d, d), of z given the cells of x (n, f) not NaN."""
        weight = ~x.isnan() / self.noise
        pull = torch.where(x.isnan(), 0.0, (x - self.offset) / self.noise) @ self.loadings
        products = _outer(self.loadings).flatten(1)
        size = self.loadings.shape[1]
        precision = (weight @ products).unflatten(1, (size, size))
        # The identity and more is positive definite; torch's other one asks an accelerator whether it is.
        factor = torch.linalg.cholesky_ex(precision + torch.eye(size, dtype=x.dtype, device=x.device)).L
        return torch.cholesky_solve(pull.unsqueeze(2), factor).squeeze(2), factor

    def regression(self, x: Tensor, targets: Tensor, noise: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Linear map from z to each target, given rows x (n, f) with gaps: what EM does in each of its rounds.

        The sum of squares has the spread of z in it; loadings have the prior N(0, 1 / PRIOR). The noise is that of the
        degrees of freedom that are left, so that a fit to few rows does not promise too much.

        Parameters
        ----------
        x : Tensor, shape (n, f)
            Rows, NaN where a cell is missing.
        targets : Tensor, shape (n, t)
            What to tell from z, NaN where unknown.
        noise : Tensor, shape (t,)
            Mean squared distance from the map, as far as it is known yet.

        Returns
        -------
        weight, bias, noise : Tensor, shapes (t, d), (t,), (t,)
            The map, and the mean squared distance from it.
        """
        mean, factor = self.posterior(x)
        size = mean.shape[1]
        known = ~targets.isnan()
        rows, y = known.to(x.dtype), targets.nan_to_num(0.0)
        design = torch.cat([mean, torch.ones_like(mean[:, :1])], 1)
        data = (rows.T @ _outer(design).flatten(1)).unflatten(1, (size + 1, size + 1))
        moments = data.clone()
        moments[:, :size, :size] += (rows.T @ torch.cholesky_inverse(factor).flatten(1)).unflatten(1, (size, size))
        products = y.T @ design
        prior = torch.full_like(design[0], PRIOR)
        prior[size] = FLAT
        penalised = moments + noise[:, None, None] * torch.diag(prior)
        solution = torch.linalg.solve(penalised, products.unsqueeze(2)).squeeze(2)
        squares = y.square().sum(0) - 2 * (solution * products).sum(1)
        squares += torch.einsum("ti,tij,tj->t", solution, moments, solution)
        taken = torch.linalg.solve(penalised, data).diagonal(dim1=1, dim2=2).sum(1)
        left = squares / (rows.sum(0) - taken).clamp_min(1.0)
        return solution[:, :size], solution[:, size], left.clamp_min(SMALLEST_NOISE)


def analyse(x: Tensor, size: int) -> FactorAnalysis:
    """Fit factor analysis to rows x (n, f) with gaps (NaN), beginning at their principal components.

    Where there are fewer features than factors, the factors left over say nothing. A feature never seen has loadings 0.
    """
    rows = (~x.isnan()).to(x.dtype)
    mean = x.nansum(0) / rows.sum(0).clamp_min(1.0)
    centred = torch.where(x.isnan(), 0.0, x - mean)
    loadings = torch.nn.functional.pad(_components(centred, min(size, *x.shape)), (0, size - min(size, *x.shape)))
    noise = (_variance(centred, rows) - loadings.square().sum(1)).clamp_min(0.0) + FIRST_NOISE
    fitted = FactorAnalysis(loadings, mean, noise)
    for _ in range(max(FEWEST_ROUNDS, min(ROUNDS, int(WORK / (x.numel() * size**2))))):
        before = fitted.noise
        fitted = FactorAnalysis(*fitted.regression(x, x, fitted.noise))
        if bool(((fitted.noise - before).abs() <= SETTLED * before).all()):
            break
    return fitted


def _components(centred: Tensor, size: int) -> Tensor:
    """Principal components (f, size) of rows (n, f), each as long as its deviation, by subspace iteration.

    To within what EM mends: all eigenvectors of a table of thousands of features would take minutes.
    """
    basis = Noise(0, centred.device).normal((centred.shape[1], size), rows=0).to(centred.dtype)
    for _ in range(POWERS):
        basis = torch.linalg.qr(centred.T @ (centred @ basis)).Q
    _, lengths, turn = torch.linalg.svd(centred @ basis, full_matrices=False)
    components: Tensor = basis @ turn.T * (lengths / len(centred) ** 0.5)
    return components


def _outer(rows: Tensor) -> Tensor:
    return rows.unsqueeze(2) * rows.unsqueeze(1)


def _variance(values: Tensor, rows: Tensor) -> Tensor:
    """Variance of values (n, t), 0 where unknown, over the known ones."""
    count = rows.sum(0).clamp_min(1.0)
    return (values.square().sum(0) / count - (values.sum(0) / count).square()).clamp_min(0.0)
