"""Bins of the normal distribution against scipy, and as a law on the coder."""

from importlib.util import find_spec

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.stats import kstest, norm

from narrows.coding import Ans, Exhausted
from narrows.coding.normal import NormalBins, cumulative_normal, equal_mass_bins
from narrows.errors import InputError

TWINS = [False, True] if find_spec("numba") else [False]
twins = pytest.mark.parametrize("compiled", TWINS)
EXTREMES = [-(2**31), -(2**15), -1, 0, 1, 2**15, 2**31 - 1]


def sigma(s):
    return np.logaddexp(0, s / 64 + 0.5413248546129181) + 1e-4


@pytest.mark.parametrize("bits", [1, 2, 8, 10, 14])
def test_edges_and_centres_are_quantiles(bits):
    bins, n = equal_mass_bins(bits), 1 << bits
    assert np.abs(bins.edges[1:-1] / 2**16 - norm.ppf(np.arange(1, n) / n)).max() <= 2**-16
    assert np.abs(bins.centres / 2**12 - norm.ppf((np.arange(n) + 0.5) / n)).max() <= 0.6 * 2**-12
    assert (np.diff(bins.edges) > 0).all()


def test_the_distribution_function_is_that_of_scipy():
    table = cumulative_normal()
    assert np.abs(table / 2**30 - norm.cdf(np.arange(-2048, 2049) / 256)).max() < 2**-28
    assert (table[0], table[-1]) == (0, 1 << 30)
    assert (np.diff(table) >= 0).all()


def test_frequencies_are_those_of_the_normal_distribution():
    r = np.random.default_rng(0)
    law = NormalBins(8)
    params = np.stack([r.integers(-4 * 4096, 4 * 4096, 3000), r.integers(-600, 512, 3000)], 1).astype(np.int32)
    u = r.integers(256, size=3000)
    starts, freqs = law.ranges(params, u)
    edges = norm.ppf(np.arange(257) / 256)
    low, high = (norm.cdf((edges[u + k] - params[:, 0] / 4096) / sigma(params[:, 1])) for k in (0, 1))
    # A step of 2^-16 in C, another in the table's argument, whose error is the greater the smaller sigma is.
    allowed = 2 + 2**16 * 2**-16 / sigma(params[:, 1])
    assert (np.abs(starts - low * 2**16) <= allowed).all()
    assert (np.abs(starts + freqs - high * 2**16) <= allowed).all()


@st.composite
def cases(draw):
    r = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
    m = draw(st.sampled_from([0, 1, 2, 100]) | st.integers(0, 100))
    params = np.stack([r.normal(size=m) * 6000, r.integers(-900, 700, m)], 1).astype(np.int32)
    odd = r.random((m, 2)) < 0.2
    params[odd] = r.choice(EXTREMES, odd.sum())
    return draw(st.integers(1, 14)), draw(st.integers(1, 9)), params, r.integers(1 << 16, size=300)


@given(case=cases())
def test_draws_come_off_the_stack_and_go_back_the_same_from_either_twin(case):
    bits, lanes, params, before = case
    law, written = NormalBins(bits), []
    for compiled in TWINS:
        ans = Ans(lanes, compiled=compiled)
        ans.push_uniform(before, 16)
        at_first = ans.to_bytes()
        u = law.pop(ans, params)
        written.append((u.tolist(), ans.to_bytes()))
        assert law.ranges(params, u)[1].min(initial=1) >= 1
        law.push(ans, params, u)
        assert ans.to_bytes() == at_first
    assert written[0] == written[-1]


@given(case=cases())
def test_the_ranges_of_all_bins_lie_side_by_side(case):
    bits, _, params, _ = case
    law = NormalBins(min(bits, 8))
    for row in params[:5]:
        starts, freqs = law.ranges(np.repeat(row[None], law.symbols, 0), np.arange(law.symbols))
        assert starts[0] == 0
        assert (starts[1:] == (starts + freqs)[:-1]).all()
        assert starts[-1] + freqs[-1] == 1 << 16


@twins
def test_what_is_popped_is_a_draw(compiled):
    m = 4000
    ans = Ans(16, compiled=compiled)
    ans.push_uniform(np.random.default_rng(3).integers(1 << 16, size=m + 64), 16)
    law = NormalBins(12)
    params = np.tile(np.array([[2000, -70]], dtype=np.int32), (m, 1))
    z = law.bins.centres[law.pop(ans, params)] / 4096
    # A right one fails at one seed in a thousand.
    assert kstest(z, norm(2000 / 4096, sigma(-70)).cdf).pvalue > 0.001


def test_a_bin_without_mass_is_refused():
    law = NormalBins(8)
    params = np.array([[0, -700]], dtype=np.int32)
    with pytest.raises(InputError, match="no probability"):
        law.push(Ans(1), params, np.array([255]))


@twins
def test_too_few_bits_are_noticed(compiled):
    with pytest.raises(Exhausted):
        NormalBins(8).pop(Ans(1, compiled=compiled), np.zeros((9, 2), dtype=np.int32))


def test_the_bin_of_the_mean_holds_it():
    law = NormalBins(10)
    means = np.random.default_rng(0).integers(-(2**16), 2**16, 1000)
    u = law.nearest(np.stack([means, means], 1).astype(np.int32))
    edges = law.bins.edges
    held = np.clip(means, -(1 << 15), 1 << 15) << 4
    inside = (edges[u] <= held) & (held < edges[u + 1])
    assert (inside | (u == 0) & (held < edges[1]) | (u == 1023) & (held >= edges[1023])).all()


def test_bits_are_minus_the_log_of_the_frequencies():
    law = NormalBins(6)
    params, u = np.array([[300, 0], [-40, 64]], dtype=np.int32), np.array([40, 20])
    freqs = law.ranges(params, u)[1]
    assert law.bits(params, u) == pytest.approx(sum(16 - np.log2(float(f)) for f in freqs))
