"""Symbols written one-hot."""

from __future__ import annotations

import torch
from torch import Tensor, distributions


def one_hot(symbols: Tensor, categories: int, dtype: torch.dtype) -> Tensor:
    """Symbols (...) as 1 in their place and 0 elsewhere, (..., categories); torch's looks at them on the host."""
    return (symbols.unsqueeze(-1) == torch.arange(categories, device=symbols.device)).to(dtype)


class OneHot(distributions.OneHotCategorical):
    """Symbols written one-hot, whose log probability is linear between them, as that of bits is.

    On symbols it is torch's. Between them torch's is that of the nearest one and has no slope, which biased estimators
    of the gradient need. Nothing is validated: torch's would look at the logits in any case, for which the host waits
    for the device.

    Parameters
    ----------
    logits : Tensor, shape (..., categories)
        ln q of each symbol, but for a constant.
    """

    def __init__(self, logits: Tensor) -> None:
        self._categorical = distributions.Categorical(logits=logits, validate_args=False)
        shape = self._categorical.batch_shape
        distributions.Distribution.__init__(self, shape, self._categorical.param_shape[-1:], validate_args=False)

    def log_prob(self, value: Tensor) -> Tensor:
        """Nats, sum_c value_c ln q_c."""
        return (value * self.logits).sum(-1)
