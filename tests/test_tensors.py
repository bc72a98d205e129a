"""Copies of tensors by name."""

import torch

from narrows.tensors import copied


def weights(value):
    return {"a": torch.full((3,), value), "b": torch.full((2, 2), value)}


def test_a_copy_has_memory_of_its_own():
    given = weights(1.0)
    copy = copied(given)
    given["a"].zero_()
    assert torch.equal(copy["a"], torch.ones(3))
    assert list(copy) == ["a", "b"]


def test_a_copy_over_another_takes_its_memory():
    first = copied(weights(1.0))
    second = copied(weights(2.0), first)
    assert all(torch.equal(second[name], tensor) for name, tensor in weights(2.0).items())
    assert all(second[name].data_ptr() == first[name].data_ptr() for name in first)


def test_what_the_other_does_not_have_is_copied_anew():
    half = {"a": torch.zeros(3)}
    copy = copied(weights(3.0), half)
    assert torch.equal(copy["b"], torch.full((2, 2), 3.0))
    assert list(half) == ["a"]


def test_a_copy_asks_for_no_gradient():
    parameter = torch.nn.Parameter(torch.ones(3))
    assert not copied({"a": parameter})["a"].requires_grad
    assert not copied({"a": parameter}, {"a": torch.zeros(3)})["a"].requires_grad
