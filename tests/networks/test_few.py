"""Products from few numbers are those of whole matrices."""

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from narrows.data.schema import infer_schema
from narrows.fit import fit
from narrows.inference import codes
from narrows.networks import few
from narrows.networks.few import Few, linear, weighted_sums
from narrows.plan import Plan


@pytest.fixture(autouse=True)
def _however_short(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(few, "LEAST_PRODUCTS", 1)


def _few(n: int, m: int, kept: int, seed: int = 0) -> Tensor:
    draws = torch.Generator().manual_seed(seed)
    z = torch.zeros(n * m, dtype=torch.float64)
    z[torch.randperm(n * m, generator=draws)[:kept]] = torch.randn(kept, generator=draws, dtype=torch.float64)
    return z.view(n, m)


@given(st.integers(1, 9), st.integers(8, 40), st.integers(1, 7), st.floats(0, 0.12), st.integers(0, 99))
@settings(deadline=None, max_examples=30)
def test_numbers_are_found_summed_and_multiplied_as_in_whole_products(
    n: int, m: int, d: int, share: float, seed: int
) -> None:
    z = _few(n, m, int(share * n * m), seed)
    x, atoms = torch.randn(n, d, dtype=z.dtype), torch.randn(m, d, dtype=z.dtype)
    found = Few.of(z)
    assert found is not None
    numbers = found.numbers(z, z.dtype)
    torch.testing.assert_close(found.spread(numbers), z, rtol=0, atol=0)
    torch.testing.assert_close(found.sums(numbers, atoms), z @ atoms)
    torch.testing.assert_close(found.sums_by_column(numbers, x), z.T @ x)
    torch.testing.assert_close(found.products(x, atoms), (x @ atoms.T)[z != 0])


def test_many_numbers_are_left_to_whole_products() -> None:
    assert Few.of(torch.ones(4, 8)) is None
    found = Few.of(torch.tensor([[0.0, 2.0] + 6 * [0.0]]))
    assert found is not None
    assert (found.places.tolist(), found.rows.tolist(), found.columns.tolist()) == ([1], [0], [1])


@pytest.mark.parametrize("dtype", [torch.float64, torch.float32, torch.bfloat16])
def test_codes_of_any_type_are_found(dtype: torch.dtype) -> None:
    z = _few(6, 40, 20).to(dtype)
    found = Few.of(z)
    assert found is not None
    assert torch.equal(found.places, z.flatten().nonzero()[:, 0])


def test_slopes_are_those_of_differences() -> None:
    atoms, bias = (torch.randn(*shape, dtype=torch.float64, requires_grad=True) for shape in ((24, 3), (3,)))
    z = _few(5, 24, 12).requires_grad_()
    kept = z.detach() != 0
    assert torch.autograd.gradcheck(lambda z, a, b: weighted_sums(z * kept, a, b), (z, atoms, bias))


def test_a_linear_map_learns_alike_from_few_slopes_and_from_all() -> None:
    x = torch.randn(30, 4, dtype=torch.float64)
    weight, bias = (torch.randn(*shape, dtype=torch.float64, requires_grad=True) for shape in ((20, 4), (20,)))
    chosen = _few(30, 20, 40)
    for slope in (chosen, torch.randn_like(chosen)):
        ours = torch.autograd.grad(linear(x, weight, bias), (weight, bias), slope)
        torchs = torch.autograd.grad(torch.nn.functional.linear(x, weight, bias), (weight, bias), slope)
        torch.testing.assert_close(ours, torchs)


def test_in_short_numbers_slopes_are_those_of_short_products() -> None:
    x = torch.randn(30, 4)
    weight, bias = torch.randn(20, 4, requires_grad=True), torch.randn(20, requires_grad=True)
    for slope in (_few(30, 20, 40).bfloat16(), torch.randn(30, 20).bfloat16()):
        found = []
        for rule in (linear, torch.nn.functional.linear):
            with torch.autocast("cpu", dtype=torch.bfloat16):
                out = rule(x, weight, bias)
            assert out.dtype == torch.bfloat16
            found.append(torch.autograd.grad(out, (weight, bias), slope))
        assert [one.dtype for one in found[0]] == [torch.float32, torch.float32]
        torch.testing.assert_close(*found, rtol=0.02, atol=0.1)


def test_where_x_learns_as_well_its_slope_is_the_whole_one() -> None:
    x = torch.randn(30, 4, dtype=torch.float64, requires_grad=True)
    weight, bias = torch.randn(20, 4, dtype=torch.float64, requires_grad=True), torch.zeros(20, dtype=torch.float64)
    slope = _few(30, 20, 40)
    (found,) = torch.autograd.grad(linear(x, weight, bias), x, slope)
    torch.testing.assert_close(found, slope @ weight.detach())


@pytest.mark.parametrize(
    ("latent", "choices"),
    [
        ("batch-top-k", {"latent.k": 2, "latent.anneal": 0}),
        ("top-k", {"latent.k": 2, "latent.signed": False}),
        ("l1", {"latent.weight": 3.0}),
        ("jump-relu", {"latent.k": 2, "latent.window": 1.5}),
        ("matryoshka", {"latent.k": 2, "latent.anneal": 0, "objective.samples": 3}),
    ],
)
def test_a_dictionary_learns_alike_by_both_ways(
    latent: str, choices: dict[str, float], monkeypatch: pytest.MonkeyPatch
) -> None:
    x = np.random.default_rng(0).standard_normal((400, 12)).astype(np.float32)
    settings = {"latent": latent, "latent.size": 64, **choices}
    plan = Plan(epochs=4, batch_size=100, validation=0, precision="float32")
    weights = []
    monkeypatch.setattr(few, "MOST", 1)
    for least in (1, 10**18):
        monkeypatch.setattr(few, "LEAST_PRODUCTS", least)
        model = fit(x, infer_schema(x), "sparse-features", settings, plan).model
        weights.append(dict(model.named_parameters()))
    for name, found in weights[0].items():
        torch.testing.assert_close(found, weights[1][name], rtol=1e-3, atol=1e-4)
    z = codes(model, torch.from_numpy(x))
    assert 0 < (z != 0).float().mean() < 0.5
