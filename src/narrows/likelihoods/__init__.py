"""How data are scored, given a code: the likelihood axis."""

from narrows.likelihoods.columns import Columns
from narrows.likelihoods.counts import Poisson
from narrows.likelihoods.local import Local
from narrows.likelihoods.pixels import Bernoulli, Categorical, Logistic
from narrows.likelihoods.quantised import Quantised
from narrows.likelihoods.reals import Gaussian

__all__ = ["Bernoulli", "Categorical", "Columns", "Gaussian", "Local", "Logistic", "Poisson", "Quantised"]
