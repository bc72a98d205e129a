"""Products are exact or refused, and the switches that spoil them are found as they were left."""

import pytest
import torch

from narrows.coding import products
from narrows.coding.products import check_exact, full_precision
from narrows.errors import InputError


@pytest.mark.parametrize("dtype", [torch.float64, torch.float32])
def test_products_of_this_machine_are_exact(dtype):
    check_exact("cpu", dtype)


def test_products_that_keep_too_few_bits_are_refused(monkeypatch):
    monkeypatch.setitem(products.WHOLE, torch.bfloat16, 1 << 24)
    with pytest.raises(InputError, match="does not multiply whole numbers in torch"):
        check_exact("cpu", torch.bfloat16)


@pytest.mark.parametrize("side", [0, 1])
def test_rounding_either_matrix_alone_is_noticed(monkeypatch, side):
    exact = torch.Tensor.__matmul__

    def reduced(a, b):
        if a.dtype != torch.float64:
            return exact(a, b)
        given = [a, b]
        given[side] = given[side].float().double()
        return exact(*given)

    monkeypatch.setattr(torch.Tensor, "__matmul__", reduced)
    with pytest.raises(InputError, match="exactly"):
        check_exact("cpu", torch.float64)


@pytest.mark.parametrize("device", ["meta", "nonsense"])
def test_a_device_that_cannot_do_it_is_refused_in_one_line(device):
    with pytest.raises(InputError, match=f"device {device} cannot multiply") as refused:
        check_exact(device)
    assert "\n" not in str(refused.value)


@pytest.mark.parametrize("before", ["highest", "high", "medium"])
def test_precision_is_full_inside_and_as_it_was_outside(before):
    matmul = torch.backends.mkldnn.matmul
    at_first = torch.get_float32_matmul_precision()
    torch.set_float32_matmul_precision(before)
    try:
        setting = matmul.fp32_precision
        with torch.autocast("cpu"), full_precision():
            assert matmul.fp32_precision == "ieee"
            assert (torch.ones(2, 2) @ torch.ones(2, 2)).dtype == torch.float32
        assert matmul.fp32_precision == setting
        with pytest.raises(KeyError), full_precision():
            raise KeyError
        assert matmul.fp32_precision == setting
        assert torch.get_float32_matmul_precision() == before
    finally:
        torch.set_float32_matmul_precision(at_first)
