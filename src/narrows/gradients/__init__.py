"""How a gradient passes through a draw: the gradient axis."""

from narrows.gradients.path import DoublyReparameterised, Pathwise, StickingTheLanding
from narrows.gradients.relaxed import Relaxed, StraightThrough
from narrows.gradients.score import Score

__all__ = ["DoublyReparameterised", "Pathwise", "Relaxed", "Score", "StickingTheLanding", "StraightThrough"]
