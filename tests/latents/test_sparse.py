"""Sparse codes: what is kept, at what price, with which gradient; and units that come back to life."""

import itertools
from functools import partial

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from narrows.data.schema import infer_schema
from narrows.distributions import Nested, divergence, prefixes
from narrows.errors import InputError
from narrows.latents import L1, BatchTopK, JumpRelu, Matryoshka, TopK
from narrows.model import REVIVAL, Model
from narrows.noise import Noise
from narrows.presets import choose
from narrows.sampling import sample
from narrows.values import Clock

CPU = torch.device("cpu")


def sample_h(n=7, d=5, seed=0):
    return torch.randn(n, d, generator=torch.Generator().manual_seed(seed))


def price(latent, h):
    return divergence(latent.posterior(h), latent.prior(len(h), CPU))


def dictionary(x, *settings):
    """A model of a dictionary on rows, in training."""
    model = Model(
        choose("dictionary", infer_schema(x.numpy()), ["likelihood.sigma=0.5", *settings]), infer_schema(x.numpy())
    )
    model.adapt(x)
    return model.train()


def test_l1_pays_for_the_size_of_its_non_negative_code():
    latent, h = L1(5, weight=0.3), sample_h()
    z = latent.code(latent.posterior(h))
    assert torch.equal(z, h.clamp_min(0))
    torch.testing.assert_close(price(latent, h), 0.3 * z.abs().sum(1))


class TestTopK:
    @given(k=st.integers(1, 8), seed=st.integers(0, 99), signed=st.booleans())
    def test_the_k_largest_are_kept(self, k, seed, signed):
        h = sample_h(5, 8, seed)
        z = TopK(8, k, signed=signed).posterior(h).mean.numpy()
        for row, given_row in zip(z, (h if signed else h.relu()).numpy(), strict=True):
            largest = np.argsort(-np.abs(given_row))[:k]
            expected = np.zeros(8, dtype=np.float32)
            expected[largest] = given_row[largest]
            np.testing.assert_array_equal(row, expected)

    def test_a_quarter_is_kept_by_default(self):
        assert (TopK(9).posterior(sample_h(4, 9)).mean != 0).sum(1).tolist() == [3] * 4

    def test_the_gradient_reaches_the_kept_numbers_alone(self):
        latent, h = TopK(5, 2), sample_h().requires_grad_()
        z = latent.posterior(h).mean
        z.sum().backward()
        assert torch.equal(h.grad, (z != 0).float())


@pytest.mark.parametrize("kind", [TopK, BatchTopK, JumpRelu, Matryoshka])
def test_more_than_there_are_is_refused(kind):
    with pytest.raises(InputError, match=r"latent\.k"):
        kind(4, 5)


class TestBatchTopK:
    @given(k=st.integers(1, 4), n=st.integers(1, 40), seed=st.integers(0, 99))
    def test_in_training_the_k_n_largest_of_the_batch_are_kept(self, k, n, seed):
        h = sample_h(n, 12, seed) + 3  # enough are above 0
        z = BatchTopK(12, k).train().posterior(h).mean
        assert int((z != 0).sum()) == k * n
        assert z[z != 0].min() > h[z == 0].max()
        assert torch.equal(z[z != 0], h[z != 0])

    def test_of_a_large_batch_about_as_many(self):
        """The threshold is that of 128 rows, 1,024 kept numbers: their number has a deviation of 3 %."""
        h = sample_h(4096, 64)
        kept = (BatchTopK(64, 8).train().posterior(h).mean != 0).sum() / 4096
        assert float(kept) == pytest.approx(8, rel=0.12)

    def test_codes_are_not_negative_though_fewer_are_kept(self):
        z = BatchTopK(6, 5).train().posterior(sample_h(8, 6)).mean
        assert z.min() == 0

    def test_in_use_a_row_does_not_depend_on_its_batch(self):
        latent = BatchTopK(12, 3).train()
        for seed in range(200):
            latent.posterior(sample_h(64, 12, seed))
        h = sample_h(500, 12, 1000)
        together = latent.eval().posterior(h).mean
        alone = torch.cat([latent.posterior(row).mean for row in h.split(1)])
        assert torch.equal(together, alone)
        # The smallest kept of 12 normals of which 3 are: the upper quartile.
        assert float(latent.threshold) == pytest.approx(0.674, abs=0.05)
        assert float((together > 0).sum(1).float().mean()) == pytest.approx(3, rel=0.1)


class TestAnneal:
    """Of 48 units 3 a row are kept in the end, and 12 at first."""

    @pytest.mark.parametrize(("progress", "kept"), [(0.0, 12), (0.2, 6), (0.4, 3), (1.0, 3)])
    def test_training_begins_with_more_and_comes_down_to_k(self, progress, kept):
        latent, clock, h = BatchTopK(48, 3, anneal=0.4).train(), Clock(), sample_h(50, 48)
        clock.set(0, progress)
        latent.see(clock)
        assert int((latent.posterior(h).mean != 0).sum()) == kept * 50

    def test_what_is_kept_in_use_is_k_at_any_time(self):
        """So that held-out figures of different times compare, and the best weights are not the first ones."""
        latent, clock = BatchTopK(48, 3).train(), Clock()
        latent.see(clock)
        for seed in range(200):
            latent.posterior(sample_h(64, 48, seed))
        kept = (latent.eval().posterior(sample_h(500, 48, 1000)).mean > 0).sum(1).float().mean()
        assert float(kept) == pytest.approx(3, rel=0.1)

    def test_no_more_are_kept_than_there_are(self):
        latent = BatchTopK(6, 3).train()
        latent.see(Clock())
        assert int((latent.posterior(sample_h(20, 6).abs()).mean != 0).sum()) == 6 * 20

    def test_it_is_settled_once_as_many_are_kept_as_in_use(self):
        latent, clock = BatchTopK(48, 3, anneal=0.4), Clock()
        for share in (0.0, 0.2, 0.39, 0.4, 1.0):
            clock.set(0, share)
            latent.see(clock)
            assert latent.settled(share) == (latent.now == latent.kept)

    @pytest.mark.parametrize("anneal", [-0.1, 1.1])
    def test_a_share_is_one(self, anneal):
        with pytest.raises(InputError, match=r"latent\.anneal was given as"):
            BatchTopK(6, 3, anneal=anneal)

    def test_training_tells_the_time(self):
        x, clock = sample_h(16, 6), Clock()
        model = dictionary(x, "latent.size=12", "latent.k=2")
        for progress, kept in ((0.0, 8), (1.0, 2)):
            clock.set(0, progress)
            model.loss(x, Noise(0), clock)
            assert model.latent.now == kept


class TestFloor:
    """Of 12 units the last four hear a twentieth of what the others do, and would not be kept."""

    @pytest.fixture(scope="class")
    def latent(self):
        latent = BatchTopK(12, 3, dead_after=0, anneal=0.0, floor=0.01).train()
        for seed in range(800):
            latent.posterior(self.heard(256, seed))
        return latent.eval()

    @staticmethod
    def heard(n, seed):
        return sample_h(n, 12, seed) * torch.tensor([1.0] * 8 + [0.05] * 4)

    def test_silent_units_fire_as_often_as_that(self, latent):
        """The threshold's logarithm has a deviation of .025, and with it the rate one of .16: an error in 1,000."""
        fired = (latent.posterior(self.heard(40_000, 1000)).mean > 0).float().mean(0)
        torch.testing.assert_close(fired[8:], torch.full((4,), 0.01), rtol=0.6, atol=0.0)
        assert fired[:8].min() > 0.1

    def test_their_thresholds_are_the_quantiles_of_what_they_hear(self, latent):
        torch.testing.assert_close(latent.own[8:], torch.full((4,), 0.1163), rtol=0.1, atol=0.0)
        assert torch.equal(latent.own[:8], latent.threshold.expand(8))

    def test_without_it_they_are_dead(self):
        latent = BatchTopK(12, 3, dead_after=0, anneal=0.0).train()
        for seed in range(100):
            latent.posterior(self.heard(256, seed))
        assert not (latent.eval().posterior(self.heard(40_000, 1000)).mean[:, 8:] > 0).any()

    def test_a_first_batch_in_which_nothing_is_heard_leaves_no_trace(self):
        """Held to its threshold of 0, each unit's own would stay there, and let all through that is above 0."""
        latent = BatchTopK(12, 3, dead_after=0, anneal=0.0, floor=0.01).train()
        latent.posterior(-sample_h(64, 12).abs())
        for seed in range(300):
            latent.posterior(self.heard(256, seed))
        fired = (latent.eval().posterior(self.heard(4000, 1000)).mean > 0).float().mean(0)
        assert torch.equal(latent.own[:8], latent.threshold.expand(8))
        torch.testing.assert_close(fired.sum(), torch.tensor(3.04), rtol=0.1, atol=0.0)

    def test_what_is_kept_is_what_was_heard(self, latent):
        h = self.heard(100, 3)
        for kept in (latent.posterior(h).mean, latent.train().posterior(h).mean):
            assert torch.equal(kept[kept != 0], h[kept != 0])
            assert kept.min() == 0
        latent.eval()

    @pytest.mark.parametrize("floor", [-0.1, 0.6])
    def test_a_share_of_rows_is_one(self, floor):
        with pytest.raises(InputError, match=r"latent\.floor was given as"):
            BatchTopK(6, 3, floor=floor)


class TestJumpRelu:
    def test_the_gradients_are_those_of_the_window(self):
        latent, h = JumpRelu(5, 2, window=0.8).double().train(), sample_h(40, 5).double().requires_grad_()
        latent.posterior(h.detach())  # sets the thresholds
        by_code, by_row = torch.randn(2, 40, 5, dtype=torch.float64, generator=torch.Generator().manual_seed(1))
        weight = by_row[:, 0]
        multiplier = latent.control.rate
        q = latent.posterior(h)
        ((q.value * by_code).sum() + (q.price * weight).sum()).backward()
        t, x = latent.log_threshold.detach().exp(), h.detach()
        inside = ((x - t).abs() < 0.4 * t).double()
        expected = -(t / 0.8) * (by_code * inside).sum(0) - multiplier / 0.8 * (weight[:, None] * inside).sum(0)
        torch.testing.assert_close(latent.log_threshold.grad, expected)
        torch.testing.assert_close(h.grad, by_code * (x > t))
        assert inside.any()

    @pytest.mark.parametrize("pull", [0.1, 2.0])
    def test_the_number_of_codes_is_held_whatever_is_gained_by_more(self, pull):
        """Each code gains ``pull`` times its size: without a price all would be on."""
        latent = JumpRelu(20, 4, speed=0.05).train()
        optimizer = torch.optim.Adam(latent.parameters(), 0.02)
        numbers = []
        for step in range(500):
            q = latent.posterior(sample_h(256, 20, step))
            optimizer.zero_grad()
            (q.price.mean() - pull * q.value.sum(1).mean()).backward()
            optimizer.step()
            numbers.append(float((q.value > 0).sum(1).float().mean()))
        assert np.mean(numbers[-150:]) == pytest.approx(4, rel=0.05)

    def test_it_starts_at_its_target(self):
        h = sample_h(400, 20)
        assert float((JumpRelu(20, 4).train().posterior(h).mean > 0).sum(1).float().mean()) == pytest.approx(4, rel=0.1)


class TestMatryoshka:
    @given(k=st.integers(1, 6), size=st.integers(1, 40))
    def test_each_prefix_is_half_of_the_next(self, k, size):
        lengths = prefixes(k, size)
        assert lengths[-1] == size
        assert all(one == max(1, other // 2) for one, other in itertools.pairwise(lengths))

    def test_draws_are_the_same_code_cut_shorter(self):
        q = Nested(torch.arange(1.0, 9).expand(2, 8), torch.zeros(2))
        drawn = sample(q, 3, Noise(0))
        assert drawn[:, 0].tolist() == [[1, 2] + [0] * 6, [1, 2, 3, 4] + [0] * 4, [*range(1, 9)]]

    def test_the_objective_is_the_mean_of_the_nested_losses(self):
        x = sample_h(16, 6)
        model = dictionary(x, "latent=matryoshka", "latent.size=12", "latent.k=3", "objective.samples=3")
        figures = model.loss(x, Noise(0), Clock())[1].nats
        batch = model.batch(x, Noise(0))
        z = model.latent.posterior(model.network.encode(batch.seen)).mean
        losses = []
        for length in (3, 6, 12):
            cut = torch.cat([z[:, :length], torch.zeros(16, 12 - length)], 1)
            losses.append(-model.decode(cut[None]).log_prob(batch.x)[0])
        torch.testing.assert_close(figures, torch.stack(losses).mean(0))

    def test_in_use_the_code_is_whole(self):
        latent, h = Matryoshka(8, 8).eval(), sample_h(5, 8)
        assert torch.equal(latent.code(latent.posterior(h)), h.relu())

    @pytest.mark.parametrize("kind", [BatchTopK, Matryoshka, JumpRelu, partial(BatchTopK, floor=0.1)])
    def test_before_training_no_more_is_kept_than_after_it(self, kind):
        """Else the first weights would be the best ones: more codes tell more."""
        h = sample_h(9, 12)
        assert torch.equal(kind(12, 3).eval().posterior(h).mean, TopK(12, 3, signed=False).posterior(h).mean)


class TestRevival:
    """Unit 0 never fires: dead after 40 examples, it is trained on what the others leave."""

    def test_a_unit_is_dead_after_so_many_examples_without_firing(self):
        latent, h = L1(3, dead_after=40).train(), torch.tensor([[-1.0, 1.0, 1.0]]).expand(16, 3)
        latent.build((4,))
        revived = [latent.revived(latent.posterior(h)) is not None for _ in range(4)]
        assert revived == [False, False, True, True]
        assert latent.idle.tolist() == [64, 0, 0]
        latent.posterior(-h)
        assert latent.idle.tolist() == [0, 16, 16]

    def test_its_gradient_is_that_of_the_auxiliary_loss(self):
        """Of REVIVAL / 2 sigma^2 |e - z_0 a_0|^2, e what the other units leave: closed form, and of nothing else."""
        x = sample_h(32, 6)
        model = dictionary(x, "network.steps=0", "network.tied=false", "latent=top-k", "latent.signed=false",
                           "latent.size=4", "latent.k=1", "latent.dead_after=1")  # fmt: skip
        batch, network = model.batch(x, Noise(0)), model.network
        with torch.no_grad():
            network.lift[0] = -1.0  # seldom the largest, yet positive at times
            network.lift[1:] += 3.0
        grads, others = [], []
        for dead in (False, True):
            model.zero_grad()
            model.latent.idle.fill_(0)
            model.latent.idle[0] = 10 if dead else -1000
            model.loss(x, Noise(0), Clock())[0].backward()
            grads.append(network.directions.grad[0].clone())
            others.append([network.directions.grad[1:].clone(), network.weight.grad[1:].clone()])
        h = network.encode(batch.seen).detach()
        z = model.latent.posterior(h).mean
        assert not z[:, 0].any()
        assert h[:, 0].max() > 0
        said = h[:, 0].relu()
        atom = network.atoms[0].detach()
        left = batch.x - network.decode(z).detach() - said[:, None] * atom
        full = -(REVIVAL / 0.25) * (said[:, None] * left).mean(0)
        expected = full - (full @ atom) * atom  # the norm of an atom is held
        torch.testing.assert_close(grads[1] - grads[0], expected / network.directions[0].norm().detach())
        torch.testing.assert_close(*others)

    def test_no_figure_tells_of_it(self):
        x = sample_h(32, 6)
        figures = []
        for dead in (0, 1_000_000):
            model = dictionary(x, "latent.size=8", "latent.k=1")
            model.latent.idle.fill_(dead)
            figures.append(model.loss(x, Noise(0), Clock())[1].nats)
        assert torch.equal(*figures)

    def test_as_many_speak_as_half_the_cells(self):
        latent, h = TopK(51, 1, signed=False, dead_after=1).train(), sample_h(30, 51).abs()
        h[:, 0] = 9  # which is the one that fires
        latent.build((8,))
        latent.idle.fill_(10)
        assert int((latent.revived(latent.posterior(h))[:, 1:] > 0).sum()) == 4 * 30


def test_use_of_units():
    assert L1(3).used(torch.tensor([[0.0, 1.0, 0.0], [0.0, 0.0, 2.0]])).tolist() == [False, True, True]
    assert TopK(3).used(torch.tensor([[0.0, -1.0, 0.0], [0.0, 0.0, 2.0]])).tolist() == [False, True, True]


@pytest.mark.parametrize(
    "settings", [["latent=matryoshka"], ["latent=matryoshka", "objective=iwae", "objective.samples=3"]]
)
def test_a_matryoshka_that_is_not_nested_is_refused(settings):
    with pytest.raises(InputError, match="take"):
        dictionary(sample_h(8, 6), *settings)
