"""Learning rates that change along a training."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping

from narrows.errors import unknown

WARM_UP = 0.02  # share of the training over which a cosine rate rises
PLATEAU_FACTOR = 0.5
PLATEAU_EPOCHS = 3


class Constant:
    """The full rate, always."""

    def share(self, progress: float) -> float:
        """Share of the full rate when ``progress``, in [0, 1], of the training is done."""
        return 1.0

    def see(self, nats: float) -> None:
        """Take the held-out figure of one more epoch."""

    def state(self) -> dict[str, float]:
        """What has to be kept to resume."""
        return dict(vars(self))

    def restore(self, state: Mapping[str, float | None]) -> None:
        """Go back to a state; JSON has null for an infinite number."""
        vars(self).update({name: math.inf if value is None else value for name, value in state.items()})


class Cosine(Constant):
    """A linear rise over the first 2 % of the training, then half a cosine down to 0 (Loshchilov and Hutter 2017)."""

    def share(self, progress: float) -> float:
        """Share of the full rate when ``progress``, in [0, 1], of the training is done."""
        if progress < WARM_UP:
            return max(progress / WARM_UP, WARM_UP)
        return 0.5 * (1 + math.cos(math.pi * min((progress - WARM_UP) / (1 - WARM_UP), 1.0)))


class Plateau(Constant):
    """Halved whenever the held-out figure has not fallen for three validations."""

    def __init__(self) -> None:
        self.kept = 1.0
        self.best = math.inf
        self.waited = 0

    def share(self, progress: float) -> float:
        """Share of the full rate that is left."""
        return self.kept

    def see(self, nats: float) -> None:
        """Take the held-out figure of one more epoch."""
        self.waited = 0 if nats < self.best else self.waited + 1
        self.best = min(self.best, nats)
        if self.waited >= PLATEAU_EPOCHS:
            self.kept *= PLATEAU_FACTOR
            self.waited = 0


SCHEDULES: Mapping[str, Callable[[], Constant]] = {"cosine": Cosine, "constant": Constant, "plateau": Plateau}


def make_schedule(name: str) -> Constant:
    """Make a schedule of the learning rate; raises `InputError` for an unknown name."""
    if name not in SCHEDULES:
        raise unknown("schedule", name, SCHEDULES)
    return SCHEDULES[name]()
