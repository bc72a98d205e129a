"""Whether a classifier can tell two sets of rows apart."""

from __future__ import annotations

import warnings
from dataclasses import dataclass

import numpy as np
from scipy.stats import binomtest
from sklearn.exceptions import ConvergenceWarning
from sklearn.neural_network import MLPClassifier
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

HIDDEN = 64
EPOCHS = 50
LEVEL = 0.95


@dataclass(frozen=True)
class ToldApart:
    """What a classifier made of rows that it had not seen.

    Parameters
    ----------
    accuracy : float
        Share of them that it put to the right set; 0.5 is chance.
    low, high : float
        The ends of its 95 % interval (Clopper and Pearson 1934).
    p_value : float
        How probable so high an accuracy would be, were both sets of the same law.
    """

    accuracy: float
    low: float
    high: float
    p_value: float


def told_apart(real: np.ndarray, made: np.ndarray, seed: int) -> ToldApart:
    """Train a small network on half of the rows of either set, and let it tell the other halves apart.

    Under equal laws the number it gets right is binomial with p = 1/2, whatever the classifier (Lopez-Paz and Oquab
    2017, with a wider hidden layer).

    Parameters
    ----------
    real, made : array, shape (n, d)
        As many rows of either, at least four.
    seed : int
        Of the halves and of the network.
    """
    random = np.random.default_rng(seed)
    halves = [np.array_split(rows[random.permutation(len(rows))], 2) for rows in (real, made)]
    known, unknown = (np.concatenate([half[place] for half in halves]) for place in (0, 1))
    network = MLPClassifier((HIDDEN,), max_iter=EPOCHS, early_stopping=True, random_state=seed % 2**32)
    classifier = make_pipeline(StandardScaler(), network)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)  # a classifier that could be better is one
        classifier.fit(known, np.repeat([0, 1], len(known) // 2))
    right = int((classifier.predict(unknown) == np.repeat([0, 1], len(unknown) // 2)).sum())
    test = binomtest(right, len(unknown), 0.5, alternative="greater")
    low, high = binomtest(right, len(unknown)).proportion_ci(LEVEL)
    return ToldApart(right / len(unknown), float(low), float(high), float(test.pvalue))
