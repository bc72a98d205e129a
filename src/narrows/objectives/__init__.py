"""Which bound is driven up: the objective axis. Every cost is in nats per example."""

from narrows.objectives.elbo import Elbo
from narrows.objectives.geco import Constrained
from narrows.objectives.neighbours import Neighbours
from narrows.objectives.total_correlation import TotalCorrelation
from narrows.objectives.weighted import Iwae, Renyi

__all__ = ["Constrained", "Elbo", "Iwae", "Neighbours", "Renyi", "TotalCorrelation"]
