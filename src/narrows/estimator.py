"""The scikit-learn face: an autoencoder as a transformer that also scores, samples and learns from a stream."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any, Self

import numpy as np
from sklearn.base import BaseEstimator, ClassNamePrefixFeaturesOutMixin, TransformerMixin
from sklearn.utils.validation import check_array, check_is_fitted
from torch import Tensor

from narrows import inference, persist
from narrows.data.classes import class_name
from narrows.errors import InputError, at_least
from narrows.examples import first_examples, further_examples, take_names, warn_of
from narrows.fit import fit as train_on
from narrows.online import Learner
from narrows.options import parameters_of, plan_from, seed_of, settings_from
from narrows.persist import Fitted
from narrows.tensors import tensor_of
from narrows.values import Finding


class Autoencoder(ClassNamePrefixFeaturesOutMixin, TransformerMixin, BaseEstimator):
    """An autoencoder that takes raw data, gives codes, and turns codes back into raw units.

    Examples are rows of numbers (arrays, pandas, polars and Arrow frames) or images (n, height, width[, channels]).
    Rows are answered in float64 and images in float32; the answer for a row does not depend on its neighbours.

    Parameters
    ----------
    preset : str
        A name of `narrows.PRESETS`.
    code_size : int, optional
        Numbers in one code: the setting ``latent.size``. None leaves the preset's.
    settings : mapping, or list of str, optional
        Choices changed: ``{"latent.k": 8}`` or ``["latent.k=8"]``; see `narrows.presets.choose`.
    values : None or {"binary", "levels", "counts", "reals"}
        Kind of values. None infers it: booleans, and nothing but 0 and 1 or 0 and 255, are binary, 8-bit integers are
        levels, everything else is real. A stream tells only booleans and 8-bit integers from reals.
    epochs, minutes : int or float, optional
        When training ends; with neither, after about 6000 steps, and at least 10 and at most 300 epochs.
    batch_size : int or "full"
        Rows in a batch.
    optimizer : {"adam", "adamw", "sgd"}
        The rule of the step.
    rate : float or "auto", optional
        Learning rate; None takes the optimizer's usual one, "auto" finds one before training.
    validation : float
        Share of the rows held out to choose the best weights.
    plan : mapping, optional
        Other fields of `narrows.Plan`, such as ``{"schedule": "constant", "binarize": "draw"}``.
    random_state : int, RandomState instance or None
        Of weights, order, noise and samples. An int trains the model that ``narrows train --seed`` of that int does.

    Attributes
    ----------
    fitted_ : narrows.Fitted
        The trained model with its preset, baseline and training record.
    schema_ : narrows.Schema
        What the data are.
    code_size_ : int
        Numbers in one code.
    history_ : list of dict
        Figures of `fit` at ends of epochs, some 50 steps apart, as in the model file; see `narrows.values.Progress`.
    findings_ : list of narrows.values.Finding
        What the doctor says of the training; ``str`` gives a sentence with the remedy.
    n_features_in_, feature_names_in_ : int, array of str
        Numbers in one example, and column names where the data had them.

    Examples
    --------
    >>> from sklearn.datasets import load_digits
    >>> from narrows import Autoencoder
    >>> digits = load_digits().data
    >>> model = Autoencoder("variational", code_size=8, epochs=2).fit(digits)
    >>> model.transform(digits).shape
    (1797, 8)
    """

    def __init__(
        self,
        preset: str = "autoencoder",
        *,
        code_size: int | None = None,
        settings: Mapping[str, Any] | Iterable[str] | None = None,
        values: str | None = None,
        epochs: int | None = None,
        minutes: float | None = None,
        batch_size: int | str = 128,
        optimizer: str = "adam",
        rate: float | str | None = None,
        validation: float = 0.1,
        plan: Mapping[str, Any] | None = None,
        random_state: Any = 0,
    ) -> None:
        self.preset = preset
        self.code_size = code_size
        self.settings = settings
        self.values = values
        self.epochs = epochs
        self.minutes = minutes
        self.batch_size = batch_size
        self.optimizer = optimizer
        self.rate = rate
        self.validation = validation
        self.plan = plan
        self.random_state = random_state

    def fit(self, X: Any, y: Any = None) -> Self:
        """Train anew on examples.

        Parameters
        ----------
        X : array or frame, shape (n, columns), (n, height, width) or (n, height, width, channels); or narrows.Dataset
            At least two examples. Columns of a frame (pandas, polars, Arrow) may hold numbers, text and gaps; dates,
            ids and constants are left out, with a warning. An array has no gaps.
        y : array, shape (n,), optional
            Labels, for presets that learn classes (those of a `narrows.Dataset` unless given); others ignore them.

        Raises
        ------
        InputError
            If the data, or a parameter, cannot be used; one sentence says why and what to do. It is a ``ValueError``.

        Warns
        -----
        ConvergenceWarning
            If training stopped because a figure was no longer a number.
        """
        parameters = self.get_params(deep=False)
        plan, settings = plan_from(parameters), settings_from(parameters)
        data = first_examples(self, X, self.values)
        labels = data.labels if y is None else np.asarray(y)
        self._take(train_on(data.values, data.schema, self.preset, settings, plan, labels=labels))
        warn_of(self.findings_)
        return self

    def partial_fit(self, X: Any, y: Any = None) -> Self:
        """Learn from the next examples of a stream: one pass in their order, in batches of ``batch_size``.

        Each batch first moves the running statistics by which the data are standardised, then the weights, at a
        constant rate, in float32 on the processor. The first call builds the model with the parameters as they then
        are, and infers the schema from its rows; after `fit` or `load` it goes on from the weights there.

        Parameters
        ----------
        X : array or frame
            As in `fit`; one example is enough.
        y : None
            Ignored.

        Warns
        -----
        ConvergenceWarning
            If a figure was no longer a number: the weights from before are kept.
        """
        parameters = self.get_params(deep=False)
        learner: Learner | None = vars(self).get("_learner")
        if not hasattr(self, "fitted_"):
            data = first_examples(self, X, self.values, stream=True)
            plan, settings = plan_from(parameters), settings_from(parameters)
            rows, learner = tensor_of(data.values), Learner.new(data.schema, self.preset, settings, plan)
        else:
            rows = self._rows(X)
            learner = learner or Learner(self.fitted_, plan_from(parameters))
        finding = learner.learn(rows)
        self._take(learner.fitted, learner)
        warn_of([] if finding is None else [finding])
        return self

    def transform(self, X: Any) -> np.ndarray:
        """Encode examples, as in `fit`.

        Returns
        -------
        array, shape (n, code_size_)
            The mean of q(z | x) for each example, or its mode where codes are discrete.
        """
        rows = self._rows(X)
        return inference.codes(self._model, rows).numpy()

    def inverse_transform(self, Z: Any) -> np.ndarray:
        """Decode codes (n, code_size_), as `transform` gives them.

        Returns
        -------
        array, shape (n, columns), (n, height, width) or (n, height, width, channels)
            The mean of p(x | z) in the unit and the layout of the training data.
        """
        check_is_fitted(self, "fitted_")
        codes = check_array(Z, dtype=(np.float64, np.float32))
        if codes.shape[1] != self.code_size_:
            raise InputError(f"the codes hold {codes.shape[1]} numbers each; this model's hold {self.code_size_}")
        return self._user(inference.decoded(self._model, tensor_of(codes)))

    def reconstruct(self, X: Any) -> np.ndarray:
        """Encode examples and decode their codes: what `inverse_transform` makes of what `transform` gives."""
        rows = self._rows(X)
        return self._user(inference.reconstructed(self._model, rows))

    def score_samples(self, X: Any) -> np.ndarray:
        """Score examples, as in `fit`: the higher, the more an example is as the training data are.

        Returns
        -------
        array, shape (n,)
            Lower bound on log p(x), in nats for the unit of the data; with deterministic codes log p(x | z) less the
            price of the code, which orders examples but is no bound. See `narrows.inference.bounds`.
        """
        rows = self._rows(X)
        return inference.bounds(self._model, rows).numpy()

    def score(self, X: Any, y: Any = None) -> float:
        """Mean of `score_samples`; compare it between models of one kind of code and one likelihood."""
        return float(self.score_samples(X).mean())

    def sample(self, n_samples: int = 1, *, draw: bool = False, label: Any = None) -> np.ndarray:
        """Make new examples: codes from the prior, decoded.

        Parameters
        ----------
        n_samples : int
            How many.
        draw : bool
            Draw each from p(x | z), instead of taking its mean; without a code that is always done.
        label : object, optional
            Make examples of the class that labels call so.

        Returns
        -------
        array, shape (n_samples, columns), (n_samples, height, width) or (n_samples, height, width, channels)
            In the unit and the layout of the training data; the same every time where ``random_state`` is an int.

        Raises
        ------
        InputError
            If the codes have no prior to draw from, or not of such a class.
        """
        check_is_fitted(self, "fitted_")
        at_least("n_samples", n_samples, 1)
        name = None if label is None else class_name(label)
        return self._user(
            inference.samples(self.fitted_.model, n_samples, seed_of(self.random_state), draw=draw, label=name)
        )

    def save(self, path: Path | str) -> None:
        """Write the model as one safetensors file, which the command line and `load` read."""
        check_is_fitted(self, "fitted_")
        persist.save(self.fitted_, path)

    @classmethod
    def load(cls, path: Path | str) -> Self:
        """Read a file of `save` or ``narrows train``, with the parameters that made it; raises as `narrows.load`."""
        return cls.of(persist.load(path))

    @classmethod
    def of(cls, fitted: Fitted) -> Self:
        """Take over a trained model, with the parameters that made it."""
        made = cls(**parameters_of(fitted))
        made._take(fitted)
        return made

    @property
    def _n_features_out(self) -> int:
        return self.code_size_

    def _take(self, fitted: Fitted, learner: Learner | None = None) -> None:
        """Set what was learnt, and the model that answers: a copy in float64 unless examples are images."""
        schema, before = fitted.schema, vars(self).get("_learner")
        if schema.is_image:
            self._model = fitted.model
        elif learner is not None and learner is before:
            self._model.load_state_dict(fitted.model.state_dict())
        else:
            self._model = inference.in_float64(fitted.model)
        self._learner = learner
        self.fitted_, self.schema_ = fitted, schema
        self.code_size_ = fitted.model.latent.size
        self.history_: list[dict[str, Any]] = fitted.record.get("history", [])
        self.findings_ = [Finding(**finding) for finding in fitted.record.get("findings", [])]
        take_names(self, schema)

    def _rows(self, X: Any) -> Tensor:
        """Raw rows of the fitted schema, in their stored type."""
        check_is_fitted(self, "fitted_")
        return tensor_of(further_examples(self, X, self.schema_))

    def _user(self, values: Tensor) -> np.ndarray:
        """Bring rows (n, x) into the user's layout."""
        return self.schema_.to_user(values.numpy())
