"""How a model is trained, as one frozen value; it needs no torch, so the command line can read its fields."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from narrows.errors import InputError, at_least, at_most

Binarize = Literal["none", "threshold", "draw"]


@dataclass(frozen=True)
class Plan:
    """How a model is trained.

    Parameters
    ----------
    epochs, minutes : int or float, optional
        When training ends; with neither, after about 6000 steps, and at least 10 and at most 300 epochs.
    batch_size : int or "full"
        Rows in a batch: ``"full"`` is gradient descent, 1 online descent.
    optimizer : {"adam", "adamw", "sgd"}
        The rule of the step.
    rate : float or "auto", optional
        Learning rate; ``"auto"`` finds one by a range test before training.
    momentum : float, optional
        Of sgd.
    schedule : {"cosine", "constant", "plateau"}
        Of the learning rate.
    average : float
        Decay of averaged weights; 0 for none.
    precision : {"auto", "float32"}
        ``"auto"`` multiplies matrices in bfloat16 where the processor does that fast.
    validation : float
        Share of the rows held out to choose the best weights.
    patience : int
        Validations without a better figure after which training stops.
    online : bool
        Standardise by statistics that run along with the batches, with no pass beforehand.
    binarize : {"none", "threshold", "draw"}
        Make the values binary first.
    seed : int
        Of weights, order, noise and the choice of held-out rows.
    checkpoint : Path, optional
        Folder for checkpoints.
    resume : bool
        Go on from the checkpoint there.
    log : Path, optional
        File to which each interval's figures are appended as JSON lines.
    device : str
        ``"auto"`` takes an accelerator where there is one.
    """

    epochs: int | None = None
    minutes: float | None = None
    batch_size: int | str = 128
    optimizer: str = "adam"
    rate: float | str | None = None
    momentum: float | None = None
    schedule: str = "cosine"
    average: float = 0.0
    precision: str = "auto"
    validation: float = 0.1
    patience: int = 10
    online: bool = False
    binarize: Binarize = "none"
    seed: int = 0
    checkpoint: Path | None = None
    resume: bool = False
    log: Path | None = None
    device: str = "auto"

    def check(self) -> None:
        """Raise `InputError` for values that make no sense."""
        if self.epochs is not None:
            at_least("epochs", self.epochs, 1)
        if self.minutes is not None:
            at_least("minutes", self.minutes, 0, above=True)
        if self.epochs is not None and self.minutes is not None:
            raise InputError("both --epochs and --minutes were given; give one of them")
        if self.batch_size != "full":
            at_least("batch size", _number("batch size", self.batch_size, int, "a whole number or full"), 1)
        if self.rate not in (None, "auto"):
            at_least("rate", _number("rate", self.rate, float, "a number or auto"), 0, above=True)
        at_least("validation", self.validation, 0)
        at_most("validation", self.validation, 0.9)
        at_least("average", self.average, 0)
        at_most("average", self.average, 0.99999)
        at_least("patience", self.patience, 1)
        if self.resume and self.checkpoint is None:
            raise InputError("--resume needs --checkpoint with the folder to resume from")


def _number(name: str, value: Any, kind: type[int] | type[float], allowed: str) -> float:
    try:
        return kind(value)
    except (TypeError, ValueError):
        raise InputError(f"{name} was given as {value!r}; it takes {allowed}") from None
