"""The tail of scores against the survival function that it estimates."""

import math

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from narrows.detection.tail import Tail


def fitted(scores):
    tail = Tail()
    tail.fit(torch.as_tensor(scores, dtype=torch.float64))
    return tail


def test_an_exponential_tail_is_found_again():
    """-ln P(S >= s) of a unit exponential is s itself; 20,000 draws give it to 3 %."""
    tail = fitted(np.random.default_rng(0).exponential(size=20_000))
    s = torch.linspace(0.1, 12, 50, dtype=torch.float64)
    torch.testing.assert_close(tail(s), s, rtol=0.03, atol=0.02)


@given(
    st.lists(st.floats(0, 1e6), min_size=1, max_size=50),
    st.lists(st.floats(0, 1e9), min_size=2, max_size=20),
)
def test_it_never_falls_and_starts_at_zero(scores, asked):
    tail = fitted(scores)
    values = tail(torch.tensor(sorted(asked), dtype=torch.float64))
    assert (values.diff() >= 0).all()
    assert (values >= 0).all()
    assert values.isfinite().all()
    assert tail(torch.zeros(1)).item() == 0


def test_it_tells_far_from_farther_beyond_all_scores_seen():
    tail = fitted(np.arange(100.0))
    far, farther = tail(torch.tensor([1e3, 1e4]))
    assert farther > far > math.log(101)


@pytest.mark.parametrize("scores", [[3.0], [2.0] * 50, [0.0] * 10])
def test_scores_all_alike_are_no_trouble(scores):
    tail = fitted(scores)
    assert tail(torch.tensor([scores[0] + 1.0])).item() > tail(torch.tensor([scores[0]])).item()
