"""How a model is trained, as one frozen value; it needs no torch, so the command line can read its fields."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, get_args

from narrows.errors import InputError, at_least, at_most, check_seed, unknown

Binarize = Literal["none", "threshold", "draw"]

MINUTES = 1e6  # two years
MEMBERS = 1000
RATE = 1e38  # what a float32 holds


@dataclass(frozen=True)
class Plan:
    """How a model is trained.

    Parameters
    ----------
    epochs : int, optional
        Passes over the training rows after which training ends; without it and without minutes, as many as come to
        about 6000 steps, at least 10 and at most 300.
    minutes : float, optional
        Time after which training ends, instead of a number of epochs.
    batch_size : int or "full"
        Rows in a batch: ``"full"`` is gradient descent, 1 online descent.
    optimizer : {"adam", "adamw", "sgd"}
        The rule by which each step is made of the gradient.
    rate : float or "auto", optional
        Learning rate: 0.001 for adam and adamw and 0.1 for sgd where it is not given; ``"auto"`` finds one by a range
        test before training.
    momentum : float, optional
        Momentum of sgd, 0.9 where it is not given.
    schedule : {"cosine", "constant", "plateau"}
        How the learning rate goes on: up and down to 0 like a cosine, as it is, or halved whenever the held-out figure
        stops falling.
    average : float
        Share of the old in a running average of the weights, which is then the model, such as 0.999; 0 for none.
    precision : {"auto", "float32", "bfloat16"}
        Of the products of matrices while training: ``"auto"`` takes bfloat16 where the processor multiplies it fast.
    validation : float
        Share of the rows held out to choose the best weights; 0 for none.
    patience : int
        Validations without a better figure after which training stops early.
    online : bool
        Standardise by statistics that run along with the batches, with no pass over the data beforehand.
    binarize : {"none", "threshold", "draw"}
        Make the values binary first: by a threshold in the middle of their range, or by a draw with the grey value as
        probability.
    seed : int
        Seed of weights, order, noise and the choice of held-out rows.
    checkpoint : Path, optional
        Folder in which to keep a checkpoint, from which a killed training can go on.
    resume : bool
        Go on from the checkpoint in that folder, if there is one.
    log : Path, optional
        File to which the figures of each interval are appended as JSON lines.
    device : str
        Where to train, such as cpu or cuda; ``"auto"`` takes an accelerator where there is one.
    eager : bool
        Compute each step anew; otherwise a step is captured where it can be, and replayed: on a processor to the same
        bits.
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
    eager: bool = False

    def check(self) -> None:
        """Raise `InputError` for values that make no sense."""
        if self.epochs is not None:
            at_least("epochs", self.epochs, 1)
        if self.minutes is not None:
            at_least("minutes", self.minutes, 0, above=True)
            at_most("minutes", self.minutes, MINUTES)
        if self.epochs is not None and self.minutes is not None:
            raise InputError("both epochs and minutes were given; give one of them")
        if self.batch_size != "full":
            at_least("batch size", _number("batch size", self.batch_size, int, "a whole number or full"), 1)
        if self.rate not in (None, "auto"):
            rate = _number("rate", self.rate, float, "a number or auto")
            at_least("rate", rate, 0, above=True)
            at_most("rate", rate, RATE)
        if self.binarize not in get_args(Binarize):
            raise unknown("way to binarize", self.binarize, get_args(Binarize))
        at_least("validation", self.validation, 0)
        at_most("validation", self.validation, 0.9)
        at_least("average", self.average, 0)
        at_most("average", self.average, 0.99999)
        at_least("patience", self.patience, 1)
        check_seed(self.seed)
        if self.resume and self.checkpoint is None:
            raise InputError("--resume needs --checkpoint with the folder to resume from")


def member_seeds(seed: int, members: int) -> range:
    """Seeds of so many members that train together, from that of the first one on.

    Raises
    ------
    InputError
        If there are none, more than 1000, or no such seeds.
    """
    at_least("members", members, 1)
    at_most("members", members, MEMBERS)
    check_seed(seed)
    check_seed(seed + members - 1)
    return range(seed, seed + members)


def _number(name: str, value: Any, kind: type[int] | type[float], allowed: str) -> float:
    try:
        return kind(value)
    except (TypeError, ValueError):
        raise InputError(f"{name} was given as {value!r}; it takes {allowed}") from None
