"""What a user hands to an estimator as checked examples: rows in scikit-learn's words, images in ours."""

from __future__ import annotations

import warnings
from collections.abc import Iterable
from typing import Any

import numpy as np
from sklearn.base import BaseEstimator
from sklearn.exceptions import ConvergenceWarning
from sklearn.utils.validation import validate_data

from narrows.data.columns import is_frame
from narrows.data.dataset import Dataset, from_array
from narrows.data.schema import Schema
from narrows.errors import InputError
from narrows.values import Finding


def first_examples(
    estimator: BaseEstimator, X: Any, kind: str | None, *, stream: bool = False, keep_constants: bool = False
) -> Dataset:
    """Check examples to learn from, and infer their schema.

    A frame of anything but numbers without a gap is a mixed table. A warning says which of its columns were left out.

    Parameters
    ----------
    estimator : BaseEstimator
        Takes note of the number and the names of the columns.
    X : array, frame or Dataset
        Rows or images.
    kind : {"binary", "levels", "counts", "reals"}, optional
        Kind of values; None infers it.
    stream : bool
        Whether more are to come, so that the type of the values tells their kind, and not the values by chance.
    keep_constants : bool
        Whether columns of a mixed table that never change are kept.

    Raises
    ------
    ValueError
        If they cannot be used; an `InputError` where scikit-learn has no words for it.
    """
    if isinstance(X, Dataset):
        return X
    if is_frame(X) and (table := from_array(X, kind=kind, keep_constants=keep_constants)).schema.columns is not None:
        for note in table.notes:
            warnings.warn(note, UserWarning, stacklevel=3)
        return table
    names = None
    if not _is_image(X):
        X = validate_data(estimator, X)
        names = getattr(estimator, "feature_names_in_", None)
    if stream:
        X, kind = _of_stream(np.asarray(X), kind)
    return from_array(X, names=names, kind=kind)


def further_examples(estimator: BaseEstimator, X: Any, schema: Schema) -> np.ndarray:
    """Check examples against the schema of a trained model: raw rows (n, x) in their stored type; raises as above.

    Columns of a mixed table, and of a `Dataset`, are found by their names; for frames of numbers scikit-learn asks that
    they be those of `fit` in their order.
    """
    if schema.columns is not None:
        return _of_mixed_table(X, schema)
    if isinstance(X, Dataset):
        return from_array(X.schema.to_user(X.values), names=X.schema.names, schema=schema).values
    if not schema.is_image:
        X = validate_data(estimator, X, reset=False)
    return from_array(X, schema=schema).values


def take_names(estimator: BaseEstimator, schema: Schema) -> None:
    """Set what scikit-learn asks of a fitted estimator: the number of its columns, and their names if they have any."""
    estimator.n_features_in_ = schema.size
    estimator.__dict__.pop("feature_names_in_", None)
    if schema.names is not None:
        estimator.feature_names_in_ = np.asarray(schema.names, dtype=object)


def warn_of(findings: Iterable[Finding]) -> None:
    """Warn the caller of an estimator that a figure was no longer a number, where that was found."""
    for finding in findings:
        if finding.name == "not a number":
            warnings.warn(str(finding), ConvergenceWarning, stacklevel=3)


def _of_mixed_table(X: Any, schema: Schema) -> np.ndarray:
    """Cells of a frame as the schema has them; scikit-learn has no words for text and gaps."""
    if not isinstance(X, Dataset):
        return from_array(X, schema=schema).values
    if X.schema.columns != schema.columns:
        raise InputError(
            "the data set was read with columns of its own; read it with the model's schema, schema=schema_"
        )
    return X.values


def _is_image(X: Any) -> bool:
    """Whether examples have more than one axis."""
    return len(X.shape if hasattr(X, "shape") else np.asarray(X).shape) > 2


def _of_stream(array: np.ndarray, kind: str | None) -> tuple[np.ndarray, str]:
    if kind is None:
        kind = {"bool": "binary", "uint8": "levels"}.get(array.dtype.name, "reals")
    if kind == "binary" and np.isin(array, (0, 1)).all():
        array = array.astype(bool)
    return array, kind
