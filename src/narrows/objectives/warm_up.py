"""A weight that rises as training goes on."""

from __future__ import annotations

from torch import Tensor

from narrows.errors import at_least, at_most


def check_warm_up(warm_up: float) -> None:
    """Refuse what is no share of the training."""
    at_least("objective.warm_up", warm_up, 0)
    at_most("objective.warm_up", warm_up, 1)


def risen(progress: Tensor, warm_up: float, cycles: int = 1) -> Tensor:
    """How far a weight has risen from 0 to 1, shape ().

    It does so evenly over the first share ``warm_up`` of the training (Bowman et al. 2016), or of each of its cycles
    (Fu et al. 2019).
    """
    turns = progress * cycles
    # The end of the training is that of its last cycle, not the start of another.
    turn = turns - turns.floor().clamp_max(cycles - 1)
    return (turn / warm_up).clamp_max(1.0) if warm_up else turn.new_ones(())
