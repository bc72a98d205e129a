"""New examples and the codes behind them: priors fitted after training, and moves among codes."""

from narrows.generation.fitting import FittedPrior, fit_prior
from narrows.generation.moves import between, combined, varied

__all__ = ["FittedPrior", "between", "combined", "fit_prior", "varied"]
