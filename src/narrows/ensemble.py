"""Autoencoders of several seeds as one estimator."""

from __future__ import annotations

import numbers
from collections.abc import Callable
from typing import Any, Self

import numpy as np
from scipy.special import logsumexp
from sklearn.base import BaseEstimator
from sklearn.utils.validation import check_is_fitted

from narrows.errors import InputError, at_least
from narrows.estimator import Autoencoder
from narrows.examples import first_examples, take_names, warn_of
from narrows.members import fit_members
from narrows.options import plan_from, settings_from


class Ensemble(BaseEstimator):
    """Autoencoders that differ in their seed alone, trained in one computation: what they agree on, and how far.

    Parameters
    ----------
    autoencoder : Autoencoder, optional
        With the parameters of each; its ``random_state`` is that of the first, and those that follow have the next
        numbers. A plain one unless given; it is not trained itself.
    members : int
        How many.

    Attributes
    ----------
    members_ : list of Autoencoder
        The trained ones, each what `Autoencoder.fit` makes of its seed, but for the rounding of sums.

    Examples
    --------
    >>> from sklearn.datasets import load_digits
    >>> from narrows import Autoencoder, Ensemble
    >>> digits = load_digits().data
    >>> ensemble = Ensemble(Autoencoder("variational", code_size=8, epochs=2), members=3).fit(digits)
    >>> ensemble.score_samples(digits).shape, ensemble.spread(digits).shape
    ((1797,), (1797,))
    """

    def __init__(self, autoencoder: Autoencoder | None = None, members: int = 5) -> None:
        self.autoencoder = autoencoder
        self.members = members

    def fit(self, X: Any, y: Any = None) -> Self:
        """Train all members anew on examples, as `Autoencoder.fit` takes them.

        Raises
        ------
        InputError
            As `Autoencoder.fit`, and for what is of one model alone; see `narrows.members.check_members`.

        Warns
        -----
        ConvergenceWarning
            As `Autoencoder.fit`, for each member that it holds for.
        """
        if not isinstance(self.members, numbers.Integral):
            raise InputError(f"members was given as {self.members!r}; it takes a whole number from 1")
        one = Autoencoder() if self.autoencoder is None else self.autoencoder
        if not isinstance(one, Autoencoder):
            raise InputError(
                f"an Ensemble was given {one!r}; it takes an Autoencoder, as in Ensemble(Autoencoder(), 5)"
            )
        parameters = one.get_params(deep=False)
        plan, settings = plan_from(parameters), settings_from(parameters)
        data = first_examples(self, X, one.values)
        labels = data.labels if y is None else np.asarray(y)
        count = int(self.members)
        trained = fit_members(data.values, data.schema, one.preset, settings, plan, count, labels=labels)
        self.members_: list[Autoencoder] = [type(one).of(fitted) for fitted in trained]
        take_names(self, data.schema)
        for member in self.members_:
            warn_of(member.findings_)
        return self

    def score_samples(self, X: Any) -> np.ndarray:
        """Score examples: the higher, the more an example is as the training data are.

        Returns
        -------
        array, shape (n,)
            ln 1/N sum_i exp s_i, in nats, where s_i is what `Autoencoder.score_samples` of member i gives: where each
            is a lower bound on its log p_i(x), this is one on that of the mixture of all, each with equal weight.
        """
        scores = self._of_each(lambda member: member.score_samples(X))
        return np.asarray(logsumexp(scores, axis=0)) - np.log(len(scores))

    def spread(self, X: Any) -> np.ndarray:
        """How far members differ on each example: the standard deviation of their scores (n,), in nats."""
        return np.asarray(self._of_each(lambda member: member.score_samples(X)).std(axis=0))

    def score(self, X: Any, y: Any = None) -> float:
        """Mean of `score_samples`."""
        return float(self.score_samples(X).mean())

    def reconstruct(self, X: Any) -> np.ndarray:
        """Return the mean of what the members make of examples, in the layout of `Autoencoder.reconstruct`."""
        return np.asarray(self._of_each(lambda member: member.reconstruct(X)).mean(axis=0))

    def sample(self, n_samples: int = 1, *, draw: bool = False) -> np.ndarray:
        """Make new examples, of the members in turn: examples of their mixture; see `Autoencoder.sample`."""
        check_is_fitted(self, "members_")
        at_least("n_samples", n_samples, 1)
        counts = [len(range(place, n_samples, len(self.members_))) for place in range(len(self.members_))]
        made = [member.sample(n, draw=draw) for member, n in zip(self.members_, counts, strict=True) if n]
        return np.concatenate(made)

    def _of_each(self, figure: Callable[[Autoencoder], np.ndarray]) -> np.ndarray:
        check_is_fitted(self, "members_")
        return np.stack([figure(member) for member in self.members_])
