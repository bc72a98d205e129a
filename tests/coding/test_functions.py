"""Tables of functions: the nearest whole numbers, told by another library of arbitrary precision."""

from decimal import Decimal

import mpmath
import numpy as np
import pytest

from narrows.coding.functions import exactly, exponentials, sigmoids, tanh

mpmath.mp.dps = 60


def nearest(numbers):
    """Whole numbers nearest to numbers of 60 digits, none of which is next to halfway between two."""
    numbers = list(numbers)
    assert all(abs(number - mpmath.floor(number) - 0.5) > 1e-12 for number in numbers)
    return [int(mpmath.nint(number)) for number in numbers]


@pytest.mark.parametrize(("steps", "top", "last"), [(64, 1 << 14, 12 * 64), (1, 1000, 9), (7, 1 << 30, 100)])
def test_exponentials(steps, top, last):
    table = exponentials(steps, top, last)
    assert table.dtype == np.int64
    assert table[0] == top
    assert table.tolist()[1:] == nearest(top * mpmath.exp(-mpmath.mpf(i) / steps) for i in range(1, last + 1))


@pytest.mark.parametrize(("steps", "top", "last"), [(256, 1 << 20, 12 * 256), (1, 1001, 5)])
def test_sigmoids(steps, top, last):
    table = sigmoids(steps, top, last)
    assert len(table) == 2 * last + 1
    assert (table[0], table[-1]) == (0, top)
    places = [i for i in range(1 - last, last) if i or top % 2 == 0]  # half of an odd number is halfway
    exact = nearest(top / (1 + mpmath.exp(-mpmath.mpf(i) / steps)) for i in places)
    assert [table[last + i] for i in places] == exact
    assert (np.diff(table) >= 0).all()


@pytest.mark.parametrize("x", ["0", "0.3", "-3.2", "1e-20", "17"])
def test_tanh(x):
    # Subtracting from 1 leaves fewer of the 28 digits, the smaller the argument: 8 of 1e-20.
    assert abs(mpmath.mpf(str(tanh(Decimal(x)))) - mpmath.tanh(mpmath.mpf(x))) < 1e-27


def test_the_precision_in_force_changes_nothing():
    from decimal import Context, localcontext

    with localcontext(Context(prec=3)):
        assert exactly(lambda i: 1000 * Decimal(i).exp(), range(3)).tolist() == [1000, 2718, 7389]
