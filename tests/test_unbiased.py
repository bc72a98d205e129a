"""What each estimator says of its bias is so: its mean against the exact gradient, by enumeration or quadrature.

Each of 100,000 rows is one independent estimate, of the gradient with respect to its own copy of the encoder's and the
decoder's parameters. Hotelling's test compares their mean with the exact gradient. Over 20 seeds the p-values of an
unbiased estimator are uniform: the number of those below 5 % lies in the interval that a binomial count leaves once in
10,000 times, and a Kolmogorov-Smirnov test at level 1e-4 sees no difference. A biased one fails at level 1e-4 with a
single seed.
"""

import itertools

import numpy as np
import pytest
import torch
from scipy import stats

from narrows.gradients import DoublyReparameterised, Pathwise, Score, StickingTheLanding, baselines
from narrows.gradients.baselines import BASELINES
from narrows.latents import Bernoulli, Categorical, FullGaussian, Gaussian, Ladder, Mixture
from narrows.noise import Noise
from narrows.objectives import Elbo, Iwae
from narrows.parts import kinds
from narrows.study.exact import expected, points
from narrows.values import Clock, Terms

pytestmark = pytest.mark.early
ROWS = 100_000
SEEDS = 20
LEVEL = 1e-4
MIDDLE = Clock()
MIDDLE.set(0, 0.5)  # where schedules are under way

X = torch.tensor([1.0, 0.0])
H = torch.tensor([0.4, -0.8, -0.2, -0.3, 0.3])
INNER = torch.tensor([[0.8, -0.5], [-0.6, 0.7], [0.4, 0.5]])
OUTER = torch.tensor([[2.0, -1.5], [-1.0, 2.0]])
BIASES = torch.tensor([0.2, -0.4, -0.6, 0.5])


def log_px(z, biases):
    """log p(x | z) of binary cells under a decoder with a layer of two tanh."""
    z = z.flatten(2)
    inner, outer = biases.split(2, 1)
    hidden = torch.tanh(z @ INNER[: z.shape[-1]].to(z) + inner)
    return torch.nn.functional.logsigmoid((2 * X - 1).to(z) * (hidden @ OUTER.to(z) + outer)).sum(-1)


def parameters(latent, rows, dtype):
    """Copies of what the encoder gives and of the decoder's biases."""
    return [start.to(dtype).repeat(rows, 1).requires_grad_() for start in (H[: latent.n_params], BIASES)]


def estimates(latent, gradient, objective, seed):
    """Independent estimates of the gradient, a row each."""
    noise = Noise(seed)
    h, biases = parameters(latent, ROWS, torch.float32)
    z, q = gradient.draw(latent.posterior(h), objective.samples, noise, MIDDLE)
    seen = noise.normal((ROWS, 2), rows=0)
    terms = Terms(log_px(z, biases), z, q, latent.prior(ROWS, z.device), seen)
    surrogate = gradient.surrogate(objective.cost(terms, MIDDLE), terms, objective, MIDDLE)
    return ROWS * torch.cat(torch.autograd.grad(surrogate, [h, biases]), 1)


def exact(latent, objective, nodes):
    """The exact gradient, in float64; with so many nodes along each number of a gaussian code it is good to 1e-6."""
    h, biases = parameters(latent, 1, torch.float64)
    q = latent.posterior(h)
    at = points(q, nodes)
    value = expected(objective, log_px(at.z[:, None], biases)[:, 0], q, latent.prior(1, h.device), at, MIDDLE)
    return torch.cat(torch.autograd.grad(value, [h, biases]), 1)[0]


def same_mean(rows, gradient):
    """p-value of Hotelling's test that the rows' mean is the gradient; 0 where they agree on another one."""
    gaps = rows.double() - gradient
    gap = gaps.mean(0)
    variance, directions = torch.linalg.eigh(gaps.T @ gaps / len(gaps) - gap.outer(gap))
    gap = directions.T @ gap
    noisy = variance > 1e-9 * variance.max()  # the logits of a softmax have a direction without noise
    if gap[~noisy].abs().gt(1e-5).any():
        return 0.0
    return stats.chi2.sf((len(rows) * gap**2 / variance)[noisy].sum().item(), int(noisy.sum()))


def looks_uniform(p):
    """Whether p-values are uniform on [0, 1], at the levels above."""
    few, many = stats.binom.interval(1 - LEVEL, len(p), 0.05)
    return few <= (np.array(p) < 0.05).sum() <= many and stats.kstest(p, "uniform").pvalue > LEVEL


def estimators():
    """Every kind in the registry, with every baseline and hard codes besides."""
    for kind in kinds("gradient").values():
        allowed = kind.parameters_of()
        yield kind()
        if "baseline" in allowed:
            yield from (kind(baseline=name) for name in BASELINES if name != allowed["baseline"].default)
        if "hard" in allowed:
            yield kind(hard=True)


ELBO, BETA, PAIRS, TRIPLES = Elbo(samples=2), Elbo(beta=3.0, samples=2, divergence="sampled"), Iwae(2), Iwae(3)
WARMED = Iwae(3, warm_up=1.0)
CODES = {
    Bernoulli(2): (1, ELBO, BETA, PAIRS, TRIPLES),
    Categorical(symbols=1, categories=3): (1, ELBO, BETA, PAIRS, TRIPLES),
    Gaussian(1): (60, ELBO, BETA, PAIRS, TRIPLES, WARMED),
    Gaussian(2): (40, ELBO, PAIRS),
    FullGaussian(2): (90, ELBO),
}


def named(part):
    return "-".join(str(value) for value in part.spec().values())


def cases():
    """Estimators, codes and objectives that go together; variants of an estimator meet fewer objectives."""
    for gradient, (latent, (nodes, *objectives)) in itertools.product(estimators(), CODES.items()):
        plain = gradient.spec() == type(gradient)().spec()
        for objective in objectives if plain else [one for one in objectives if one in (BETA, TRIPLES)]:
            if not gradient.refuses_pair(latent, objective):
                variant = "-beta" * (objective is BETA) + "-warmed" * (objective is WARMED)
                name = f"{named(gradient)}, {latent.kind}{latent.size}, {objective.kind}{objective.samples}{variant}"
                yield pytest.param(gradient, latent, objective, nodes, id=name)


@pytest.fixture(autouse=True)
def small(monkeypatch):
    """A baseline's network that costs little."""
    monkeypatch.setattr(baselines, "WIDTH", 8)


@pytest.mark.parametrize(("gradient", "latent", "objective", "nodes"), list(cases()))
def test_an_estimator_is_as_biased_as_it_says(gradient, latent, objective, nodes):
    gradient.build((2,))
    latent.build((2,))
    with torch.no_grad():  # a baseline that has learnt nothing, and that of no steps, is but 0
        for parameter in gradient.parameters():
            parameter.add_(Noise(1).normal(parameter.shape, rows=0))
    estimates(latent, gradient, objective, SEEDS)
    truth = exact(latent, objective, nodes)
    if gradient.bias(latent, objective):
        assert same_mean(estimates(latent, gradient, objective, 0), truth) < LEVEL
        return
    p = [same_mean(estimates(latent, gradient, objective, seed), truth) for seed in range(SEEDS)]
    assert looks_uniform(p), sorted(p)


@pytest.mark.parametrize(
    "latent", [Gaussian(2, prior=Mixture(3)), Ladder(3, levels=2, width=5)], ids=["mixture", "ladder"]
)
@pytest.mark.parametrize("objective", [ELBO, PAIRS], ids=lambda objective: objective.kind)
def test_where_no_exact_gradient_is_known_the_unbiased_ones_agree(latent, objective):
    latent.build((2,))
    with torch.no_grad():  # as they begin, levels tell nothing of each other
        for parameter in latent.parameters():
            parameter.add_(Noise(7).normal(parameter.shape, rows=0), alpha=0.3)
    path = estimates(latent, Pathwise(), objective, 0)
    for seed, gradient in enumerate((Score(), StickingTheLanding(), DoublyReparameterised()), 1):
        if not gradient.refuses_pair(latent, objective):
            apart = same_mean(estimates(latent, gradient, objective, seed) - path, 0.0)
            assert (apart < LEVEL) == bool(gradient.bias(latent, objective)), gradient.kind


def test_one_wrong_term_is_seen():
    """A score function whose baseline holds a share of the draw's own cost, a bias that is easily overlooked."""

    class OwnCost(Score):
        def surrogate(self, cost, terms, objective, clock):
            advantage = (cost - cost.mean(0)).detach() / len(cost)
            return (cost.mean(0) + (advantage * terms.log_q).sum(0)).mean()

    latent = Bernoulli(2)
    assert same_mean(estimates(latent, OwnCost(), ELBO, 0), exact(latent, ELBO, 1)) < LEVEL
