"""The likelihood of mixed tables: each column under its own law, missing cells under none."""

from __future__ import annotations

import itertools
from collections.abc import Iterable, Iterator, Sequence
from typing import Any, ClassVar

import torch
from torch import Tensor, nn
from torch.distributions import Distribution

from narrows.axes import Likelihood, usual_likelihood
from narrows.data.schema import Column, Schema
from narrows.errors import unknown
from narrows.likelihoods.laws import LAWS, NUMERIC, Law, Symbols, mixture_mean
from narrows.noise import Noise
from narrows.sampling import draw
from narrows.values import Finding


class Columns(Likelihood, kind="columns"):
    """log p(x | z) = sum over the observed cells i of log p_i(x_i | z), in nats; a missing cell (NaN) adds exactly 0.

    Numeric columns, standardised, are gaussian about the decoder's output with one learned sigma a column, or follow
    Student's t with learned degrees of freedom above 2, where single cells lie far out (Lange et al. 1989). Counts are
    Poisson, ln r = the decoder's output. Binary columns and categories follow a softmax over their values and one more,
    last class for every value that was not seen in training. Together: Nazabal et al. 2020, section 2.

    Parameters
    ----------
    numeric : {"gaussian", "student-t"}
        Law of the numeric columns.
    """

    grid = False
    # Adam moves a parameter by about its rate in a step: ten times that lets sigma change e-fold in some 100 steps.
    pace = 10.0
    order: Tensor

    def __init__(self, numeric: str = "gaussian") -> None:
        super().__init__()
        if numeric not in NUMERIC:
            raise unknown("likelihood.numeric", numeric, NUMERIC)
        self.numeric = numeric

    def refuses(self, schema: Schema) -> str | None:
        """Data whose cells are all of one kind."""
        if schema.columns is not None:
            return None
        return (
            f"likelihood columns scores tables whose columns differ in kind, and the data are {schema.describe()}; "
            f"take likelihood={usual_likelihood(schema)}"
        )

    def build(self, schema: Schema) -> None:
        """Take the kinds of the columns and the sizes of their categories."""
        kinds = {**LAWS, "numeric": NUMERIC[self.numeric]}
        groups: dict[tuple[type[Law], int], dict[int, Column]] = {}
        for index, column in enumerate(schema.columns or ()):
            law = kinds[column.kind]
            groups.setdefault((law, law.alike(column)), {})[index] = column
        laws = [law(list(members), list(members.values())) for (law, _), members in groups.items()]
        self.laws = nn.ModuleList(laws)
        order = [index for members in groups.values() for index in members]
        self.register_buffer("order", torch.tensor(order, device="cpu").argsort(), persistent=False)
        self.sizes = [law.size for law in laws]
        self.n_params = sum(self.sizes)

    def param_shape(self, schema: Schema) -> tuple[int, ...]:
        """Return the shape of the parameters of one example: side by side, law after law."""
        return (self.n_params,)

    def targets(self, x: Tensor) -> Tensor:
        """Parameters (n, P) under which the observed cells of x (n, c) are about likeliest, NaN for those missing."""
        return torch.cat([law.targets(x[:, law.columns]) for law in self.laws], 1)  # type: ignore[operator, index]

    def start(self, variances: Tensor) -> None:
        """Give each law the mean squared distances (P,) from its targets."""
        for law, share in zip(self.laws, variances.split(self.sizes), strict=True):
            law.start(share)  # type: ignore[operator]

    def diagnose(self) -> Iterator[Finding]:
        """Say that the sigma of some column rests on its floor."""
        return itertools.chain.from_iterable(law.diagnose() for law in self.laws)  # type: ignore[operator]

    def forward(self, params: Tensor) -> Distribution:
        """Parameters (k, n, P) -> independent cells, each under the law of its column."""
        shares = params.split(self.sizes, -1)
        parts = [(law.columns, law(share)) for law, share in zip(self.laws, shares, strict=True)]
        return MixedCells(parts, self.order)  # type: ignore[arg-type]


class MixedCells(Distribution):
    """Independent cells of a row, some of which may be missing.

    Parameters
    ----------
    parts : sequence of (Tensor, Distribution)
        Columns (a,), and the law of their cells, of batch shape (k, n, a).
    order : Tensor, shape (c,)
        Where each column of the table is among those of the parts side by side.
    """

    arg_constraints: ClassVar[dict[str, Any]] = {}

    def __init__(self, parts: Sequence[tuple[Tensor, Distribution]], order: Tensor) -> None:
        self.parts = parts
        self.order = order
        super().__init__(parts[0][1].batch_shape[:2], order.shape, validate_args=False)

    @property
    def mean(self) -> Tensor:
        """Mean of each number, index of the most probable named value of each other cell: (k, n, c)."""
        return self._joined(law.mean for _, law in self.parts)

    @property
    def variance(self) -> Tensor:
        """Variance of each number, the chance that two draws differ, 1 - sum p^2, of each other cell: (k, n, c)."""
        return self._joined(law.variance for _, law in self.parts)

    def log_prob(self, value: Tensor) -> Tensor:
        """Nats of the observed cells of ``value`` (n, c) or (k, n, c): (k, n)."""
        return torch.stack([cells.sum(-1) for cells in self._by_part(value)]).sum(0)

    def cell_log_prob(self, value: Tensor) -> Tensor:
        """Nats of each cell of ``value`` (n, c) or (k, n, c), 0 where it is missing: (k, n, c)."""
        return self._joined(self._by_part(value))

    def averaged(self) -> tuple[Tensor, Tensor]:
        """Mean and variance, each (n, c), of a row drawn from one of its k laws, each as likely as the next.

        The variance is that within the laws and that of their means; of symbols, it says nothing and is 0.
        """
        means, variances = [], []
        for _, law in self.parts:
            mean = mixture_mean(law)
            variance = (law.variance + (law.mean - mean).square()).mean(0)
            means.append(mean)
            variances.append(torch.zeros_like(variance) if isinstance(law, Symbols) else variance)
        return self._joined(means), self._joined(variances)

    def _by_part(self, value: Tensor) -> Iterator[Tensor]:
        for columns, law in self.parts:
            cells = value[..., columns]
            observed = ~cells.isnan()
            # A missing cell is scored as a 0, which every law takes, so that no NaN comes near a gradient.
            yield torch.where(observed, law.log_prob(torch.where(observed, cells, 0.0)), 0.0)

    def _joined(self, cells: Iterable[Tensor]) -> Tensor:
        return torch.cat(list(cells), -1)[..., self.order]


@draw.register
def _(q: MixedCells, shape: Sequence[int], rows: int, noise: Noise) -> Tensor:
    return q._joined(draw(law, (*shape[:-1], len(columns)), rows, noise) for columns, law in q.parts)
