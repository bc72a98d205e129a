"""The six axes: what each kind of part promises to the model.

    x --corruption--> seen --encoder--> h --latent--> q(z|x) --gradient.draw--> z --decoder--> params
      --likelihood--> p(x|z)
                                                            objective(terms) -> nats per example

Letters: k samples, n examples, d code size, x data shape, P parameters of the likelihood for each cell.
"""

from narrows.axes.modelling import ACTIVE_VARIANCE, Latent, Network
from narrows.axes.scoring import Likelihood, usual_likelihood
from narrows.axes.training import Corruption, Gradient, Objective, average_draw

__all__ = [
    "ACTIVE_VARIANCE",
    "Corruption",
    "Gradient",
    "Latent",
    "Likelihood",
    "Network",
    "Objective",
    "average_draw",
    "usual_likelihood",
]
