"""What a trained model is worth on data: bounds, likelihoods, information, errors, and the baselines beside them."""

from narrows.evaluate.annealing import Annealed, Sandwich, annealed, bidirectional
from narrows.evaluate.bounds import distortion_and_rate, kl_by_unit
from narrows.evaluate.embedding import check_codes
from narrows.evaluate.importance import Weighed, log_likelihood
from narrows.evaluate.information import mutual_information
from narrows.evaluate.reconstruction import cell_errors, errors, observed_cells
from narrows.evaluate.whole import evaluate

__all__ = [
    "Annealed",
    "Sandwich",
    "Weighed",
    "annealed",
    "bidirectional",
    "cell_errors",
    "check_codes",
    "distortion_and_rate",
    "errors",
    "evaluate",
    "kl_by_unit",
    "log_likelihood",
    "mutual_information",
    "observed_cells",
]
