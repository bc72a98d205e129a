"""Labels told from codes: by the nearest neighbours, and by a linear probe."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Self

import numpy as np
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import StratifiedKFold, cross_val_predict
from sklearn.neighbors import KNeighborsClassifier
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from narrows.errors import InputError
from narrows.evaluate.components import Coded

NEIGHBOURS = 5
FOLDS = 5  # of cross-validation; a class of fewer rows cannot be learnt and tested
PROBE_STEPS = 1000


@dataclass(frozen=True)
class Classes:
    """Labelled rows to be told from their codes, and those from which it is learnt how.

    Parameters
    ----------
    places, labels : array, shape (m,)
        Which rows are told, and their classes as whole numbers.
    known_places, known_labels : array, shape (l,), or None
        The reference rows that are learnt from; without them, the others of the rows themselves, in folds.
    seed : int
        Of the folds.
    """

    places: np.ndarray
    labels: np.ndarray
    known_places: np.ndarray | None
    known_labels: np.ndarray | None
    seed: int

    @classmethod
    def of(cls, labels: np.ndarray | None, known: np.ndarray | None, seed: int, notes: list[str]) -> Self | None:
        """Leave out rows without a label, and of classes too small to be learnt; None where nothing is left.

        ``notes`` gets a sentence for each of that. Raises `InputError` if labels are text and numbers.
        """
        if labels is None:
            notes.append("no accuracies: there are no labels (--label COLUMN names them in a table)")
            return None
        if known is not None and (labels.dtype.kind == "U") != (known.dtype.kind == "U"):
            raise InputError(
                "some labels are text where those of the other rows are numbers; write both in one way, or leave out "
                "those of --train"
            )
        labelled = _has_label(labels)
        if not labelled.all():
            notes.append(f"{(~labelled).sum():,} of {len(labels):,} rows have no label; accuracies leave them out")
        pool = labels[labelled] if known is None else known[_has_label(known)]
        values, counts = np.unique(pool, return_counts=True)
        large = values[counts >= FOLDS]
        places = np.flatnonzero(labelled & np.isin(labels, large))
        if len(places) < labelled.sum():
            less = labelled.sum() - len(places)
            notes.append(f"{less:,} rows are of classes of fewer than {FOLDS} rows; accuracies leave them out")
        if len(large) < 2 or not len(places):
            notes.append("no accuracies: they want labels of at least two classes")
            return None
        if known is None:
            notes.append(f"accuracies are by cross-validation in {FOLDS} parts of these rows")
            return cls(places, np.searchsorted(large, labels[places]), None, None, seed)
        learnt = np.flatnonzero(np.isin(known, large))
        notes.append(f"accuracies are those of these rows, learnt from {len(learnt):,} training rows")
        return cls(places, np.searchsorted(large, labels[places]), learnt, np.searchsorted(large, known[learnt]), seed)

    def accuracies(self, coded: Coded) -> tuple[float, float]:
        """Shares of rows told right by their nearest neighbours and by a linear probe."""
        probe = make_pipeline(StandardScaler(), LogisticRegression(max_iter=PROBE_STEPS))
        nearest = KNeighborsClassifier(NEIGHBOURS)
        return self._accuracy(nearest, coded), self._accuracy(probe, coded)

    def _accuracy(self, classifier: Any, coded: Coded) -> float:
        z = coded.codes[self.places]
        if self.known_places is None or coded.reference is None:
            folds = StratifiedKFold(FOLDS, shuffle=True, random_state=self.seed)
            told = cross_val_predict(classifier, z, self.labels, cv=folds)
        else:
            told = classifier.fit(coded.reference[self.known_places], self.known_labels).predict(z)
        return float((told == self.labels).mean())


def _has_label(labels: np.ndarray) -> np.ndarray:
    """Whether there is one: a missing number is NaN, a missing text empty."""
    return ~np.isnan(labels) if labels.dtype.kind == "f" else labels != ""
