"""What codes keep of rows that they were not learnt from, beside codes of as many numbers by principal components."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator

import numpy as np
from sklearn.manifold import trustworthiness
from torch import Tensor

from narrows.baseline import Baseline
from narrows.data.dataset import Dataset
from narrows.errors import InputError
from narrows.evaluate.classes import NEIGHBOURS, Classes
from narrows.evaluate.components import KERNEL_ROWS, Coded, kernel_principal, principal
from narrows.evaluate.reconstruction import errors
from narrows.inference import check_code, clean_input, codes, in_chunks
from narrows.persist import Fitted
from narrows.records import CodeCheck, Kept
from narrows.tensors import data_fingerprint, tensor_of

COMPARED_ROWS = 2000  # figures of pairs have the square of that
COMPARED_CELLS = 100_000_000


def check_codes(fitted: Fitted, data: Dataset, reference: Dataset | None = None, seed: int = 0) -> CodeCheck:
    """Measure a model's codes on rows that it was not trained on, beside PCA and kernel PCA of equal size.

    PCA is that of the model's file; kernel PCA is fitted to reference rows. Nearest neighbours and the linear probe are
    fitted to the labels of reference rows, where there are such, or by cross-validation in the given ones.

    Parameters
    ----------
    fitted : Fitted
        The model.
    data : Dataset
        Rows measured; those that are also reference rows are left out.
    reference : Dataset, optional
        Rows to compare with, usually those that the model was trained on.
    seed : int
        Of the folds, and of the rows drawn where there are too many.

    Raises
    ------
    InputError
        If the model has no codes, was trained on these rows, or all of them are reference rows.
    """
    model, notes = fitted.model.eval(), list[str]()
    check_code(model, "measure")
    _refuse_known(fitted, data, reference, notes)
    data = _without_known(data, reference, notes)
    rows, others = tensor_of(data.values), None if reference is None else tensor_of(reference.values)
    near = _Neighbourhoods(fitted, rows, seed, notes)
    classes = Classes.of(data.labels, None if reference is None else reference.labels, seed, notes)
    kept = []
    for coded in _embeddings(fitted, rows, others, seed, notes):
        figures = (*near.figures(coded.codes), *((None, None) if classes is None else classes.accuracies(coded)))
        kept.append(Kept(coded.name, coded.squared_error, *figures))
    return CodeCheck(len(rows), model.latent.size, model.transform.error_unit, NEIGHBOURS, kept, notes)


def _refuse_known(fitted: Fitted, data: Dataset, reference: Dataset | None, notes: list[str]) -> None:
    """Refuse rows that the model was trained on; say where reference rows are others than these."""
    trained_on = fitted.record.get("data", {}).get("fingerprint")
    if data_fingerprint(tensor_of(data.values)) == trained_on:
        raise InputError(
            f"the model was trained on {data.source}, and figures of these rows say nothing of new ones; give others, "
            f"and these with --train"
        )
    if reference is not None and data_fingerprint(tensor_of(reference.values)) != trained_on:
        notes.append(f"{reference.source} is not what the model was trained on")


def _without_known(data: Dataset, reference: Dataset | None, notes: list[str]) -> Dataset:
    """The rows that are not among the reference rows."""
    if reference is None:
        return data
    known = {row.tobytes() for row in reference.values}
    fresh = np.array([row.tobytes() not in known for row in data.values])
    if fresh.all():
        return data
    if not fresh.any():
        raise InputError(f"all rows of {data.source} are among those of {reference.source}; give others to measure")
    notes.append(f"{(~fresh).sum():,} of {len(fresh):,} rows are also in {reference.source} and were left out")
    labels = None if data.labels is None else data.labels[fresh]
    return dataclasses.replace(data, values=data.values[fresh], labels=labels)


def _embeddings(fitted: Fitted, rows: Tensor, reference: Tensor | None, seed: int, notes: list[str]) -> Iterator[Coded]:
    """The model's codes, and those beside which they are put."""
    model, beside = fitted.model, errors(fitted, rows)
    there = None if reference is None else codes(model, reference).numpy()
    yield Coded(f"this model ({fitted.preset})", codes(model, rows).numpy(), there, beside["reconstruction_error"])
    if not isinstance(fitted.baseline, Baseline):
        notes.append("no PCA: a table with gaps, or rows of very many cells, have none beside the model")
        return
    width = len(fitted.baseline.components)
    if width < model.latent.size:
        notes.append(f"PCA has {width} components: the training data have no more rows or columns")
    yield principal(fitted.baseline, model, rows, reference, beside["pca_error"])
    if reference is None:
        notes.append("no kernel PCA, which is fitted to training rows: give them with --train")
        return
    fitted_to = min(KERNEL_ROWS, len(reference))
    notes.append(
        f"kernel PCA is fitted to {fitted_to:,} of {len(reference):,} training rows, a fifth of which chose it"
    )
    yield kernel_principal(model, rows, reference, seed)


class _Neighbourhoods:
    """Who is near to whom in the data as the model sees them, among some of the rows."""

    def __init__(self, fitted: Fitted, rows: Tensor, seed: int, notes: list[str]) -> None:
        most = min(COMPARED_ROWS, max(1, COMPARED_CELLS // fitted.schema.size))
        self.chosen = np.sort(np.random.default_rng(seed).permutation(len(rows))[:most])
        self.x = in_chunks(
            fitted.model, rows[self.chosen], lambda raw: clean_input(fitted.model, raw).flatten(1)
        ).numpy()
        self.enough = len(self.chosen) > 2 * NEIGHBOURS
        if not self.enough:
            notes.append(f"trustworthiness and continuity want more than {2 * NEIGHBOURS} rows")
        elif most < len(rows):
            notes.append(f"trustworthiness and continuity are those of {most:,} rows, drawn by the seed")

    def figures(self, z: np.ndarray) -> tuple[float | None, float | None]:
        """Trustworthiness and continuity of codes (n, d) of all rows."""
        if not self.enough:
            return None, None
        z = z[self.chosen]
        return (
            float(trustworthiness(self.x, z, n_neighbors=NEIGHBOURS)),
            float(trustworthiness(z, self.x, n_neighbors=NEIGHBOURS)),
        )
