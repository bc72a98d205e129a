"""The contract suite passes over the whole registry, and catches a kind that breaks it."""

import pytest
import torch
from torch.distributions import Independent, Normal

from narrows import distributions, parts
from narrows.axes import Corruption, Latent, Objective
from narrows.checks import AXES, yield_checks
from narrows.latents.exact import Point
from narrows.latents.gaussian import Gaussian
from narrows.objectives import Elbo

pytestmark = pytest.mark.early


@pytest.mark.parametrize("check", [pytest.param(check, id=name) for name, check in yield_checks()])
def test_the_registry_keeps_the_contract(check):
    check()


def test_the_suite_covers_every_pair_of_axes_and_the_triples_that_depend_on_each_other():
    names = [name for name, _ in yield_checks()]
    size = {axis: len(parts.kinds(axis)) for axis in AXES}
    pairs = sum(size[one] * size[two] for one in size for two in size if one < two)
    triples = size["latent"] * size["objective"] * size["gradient"]
    assert sum(name.startswith("check_combination") for name in names) == pairs + triples
    assert len(set(names)) == len(names)


def test_the_suite_can_be_narrowed_to_one_kind():
    names = [name for name, _ in yield_checks(Gaussian)]
    assert names
    assert all("latent=gaussian" in name for name in names)


@pytest.fixture
def registry(monkeypatch):
    """A registry that forgets the kinds of this test."""
    monkeypatch.setattr(parts, "_registry", {axis: dict(kinds) for axis, kinds in parts._registry.items()})


def failing(kind):
    """Names of the checks of one kind that fail."""
    failed = set()
    for name, check in yield_checks(kind):
        if name.count("=") == 1:
            try:
                check()
            except AssertionError:
                failed.add(name.partition("(")[0])
    return failed


@pytest.mark.usefixtures("registry")
class TestABrokenKindIsCaught:
    def test_a_sound_one_passes(self):
        class Sound(Gaussian, kind="sound"): ...

        assert failing(Sound) == set()

    def test_a_copy_that_loses_a_setting(self):
        class Forgetful(Point, kind="forgetful"):
            def fresh(self, **changes):
                return type(self)(**changes)

        assert "check_copies" in failing(Forgetful)

    def test_a_code_cut_off_from_the_encoder(self):
        class Cut(Point, kind="cut"):
            def posterior(self, h):
                return super().posterior(h.detach())

        assert failing(Cut) == {"check_gradients"}

    def test_a_divergence_clamped_to_nothing_and_a_lost_distortion(self):
        class Clamped(Elbo, kind="clamped"):
            def cost(self, terms, clock):
                return terms.kl.clamp(0, 0) - 0 * terms.log_px

        assert {"check_seeded", "check_gradients"} <= failing(Clamped)

    def test_randomness_from_the_global_generator(self):
        class Global(Corruption, kind="global"):
            def forward(self, batch, noise):
                return type(batch)(batch.x, batch.seen + torch.randn_like(batch.seen))

        assert "check_seeded" in failing(Global)

    def test_a_cost_summed_over_the_batch(self):
        class Summed(Objective, kind="summed"):
            def cost(self, terms, clock):
                return (terms.kl - terms.log_px).sum(1)

        assert "check_shapes" in failing(Summed)

    def test_a_row_standardised_by_its_neighbours(self):
        class Batchwise(Point, kind="batchwise"):
            def posterior(self, h):
                return super().posterior(h - h.mean(0))

        assert failing(Batchwise) == {"check_rows_alone"}

    def test_a_latent_that_says_it_is_not_random(self):
        class Liar(Latent, kind="liar"):
            def __init__(self, size: int = 4) -> None:
                super().__init__()
                self.size = size

            def posterior(self, h):
                return Independent(Normal(h, 1.0), 1)

            def prior(self, n, device):
                return self.posterior(torch.zeros(n, self.size, device=device))

        assert "check_shapes" in failing(Liar)

    def test_a_refusal_with_no_way_out(self):
        class Rude(Elbo, kind="rude"):
            def refuses_latent(self, latent):
                return "no"

        names_and_checks = dict(yield_checks(Rude))
        with pytest.raises(AssertionError, match="names none of"):
            names_and_checks["check_combination(latent=point, objective=rude)"]()

    def test_a_nan(self):
        class Bottomless(Point, kind="bottomless"):
            def posterior(self, h):
                return distributions.Point(h, (h - h).sum(1).log())

        with pytest.raises(AssertionError, match="not finite"):
            dict(yield_checks(Bottomless))["check_combination(latent=bottomless, objective=elbo)"]()
