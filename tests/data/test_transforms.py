"""The fitted transform: running statistics against one pass in float64, and ways there and back."""

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from narrows.data.schema import Schema
from narrows.data.transforms import Transform
from narrows.noise import Noise

VECTORS = Schema((3,), -100.0, 5000.0)
IMAGES = Schema((2, 4, 5), 0.0, 1.0)
GREY = Schema((1, 4, 5), 0.0, 255.0, 1.0)
COUNTS = Schema((3,), 0.0, np.inf, 1.0)


def sample_rows(schema, n=50, seed=0):
    uniform = np.random.default_rng(seed).random((n, *schema.shape))
    if schema.step:
        return torch.from_numpy(np.floor(uniform * min(schema.high + 1, 40))).to(torch.uint8)
    return torch.from_numpy(uniform * np.logspace(-2, 3, schema.shape[-1]) + 7)


def fitted(schema, values, **settings):
    transform = Transform(schema, **{"grid": False, **settings})
    transform.fit(values)
    return transform


def exact(schema, values, *, grid):
    """Mean and standard deviation in one pass of numpy's float64."""
    x = values.numpy().astype(np.float64)
    axes = (0, 2, 3) if schema.is_image else None if grid else 0
    shape = Transform(schema, grid=grid).stat_shape
    return x.mean(axes).reshape(shape), x.std(axes).reshape(shape)


CASES = pytest.mark.parametrize(
    ("schema", "grid"),
    [(VECTORS, False), (IMAGES, False), (GREY, True), (GREY, False), (COUNTS, True)],
    ids=["columns", "channels", "grey indices", "grey values", "counts"],
)


@CASES
@given(data=st.data())
def test_statistics_that_run_over_chunks_are_those_of_one_pass(schema, grid, data):
    values = sample_rows(schema, n=data.draw(st.integers(1, 60)), seed=data.draw(st.integers(0, 1000)))
    cuts = data.draw(st.lists(st.integers(1, 20), min_size=1, max_size=8))
    running = Transform(schema, grid=grid)
    start = 0
    while start < len(values):
        for size in cuts:
            if len(values[start : start + size]):
                running.update(values[start : start + size])
            start += size
    mean, spread = exact(schema, values, grid=grid)
    found = (running.squares / running.count).sqrt().numpy()
    assert running.count.item() * np.prod(running.stat_shape) == values.numel()
    np.testing.assert_allclose(running.mean.numpy(), mean, rtol=1e-10, atol=1e-10)
    np.testing.assert_allclose(found, spread, rtol=1e-10, atol=1e-10 * np.abs(mean).max())


@CASES
def test_the_encoder_sees_mean_0_and_variance_1(schema, grid):
    values = sample_rows(schema)
    seen = fitted(schema, values, grid=grid)(values).seen
    assert seen.dtype == torch.float32
    mean, spread = exact(schema, seen, grid=grid)
    np.testing.assert_allclose(mean, 0, atol=1e-4)
    np.testing.assert_allclose(spread, 1, rtol=1e-4)


def test_fitting_anew_forgets_and_a_stream_does_not():
    values = sample_rows(VECTORS)
    transform = fitted(VECTORS, 5 * values)
    transform.fit(values)
    np.testing.assert_allclose(transform.mean.numpy(), exact(VECTORS, values, grid=False)[0], rtol=1e-12)
    transform.update(values + 1000)
    np.testing.assert_allclose(transform.mean.numpy(), exact(VECTORS, values, grid=False)[0] + 500, rtol=1e-12)


@CASES
def test_there_and_back(schema, grid):
    values = sample_rows(schema)
    transform = fitted(schema, values, grid=grid)
    torch.testing.assert_close(transform.inverse(transform(values).x), values.float(), rtol=1e-5, atol=1e-4)


@pytest.mark.parametrize("schema", [VECTORS, IMAGES])
def test_the_change_of_variables_is_the_jacobian_s(schema):
    values = sample_rows(schema)
    transform = fitted(schema, values).double()
    jacobian = torch.autograd.functional.jacobian(lambda raw: transform(raw[None]).x.flatten(), values[0])
    expected = torch.linalg.slogdet(jacobian.reshape(schema.size, schema.size)).logabsdet.item()
    assert transform.log_det == pytest.approx(expected, rel=1e-9)
    assert abs(expected) > 0.1


def test_a_mass_has_no_change_of_variables():
    assert fitted(GREY, sample_rows(GREY), grid=True).log_det == 0


class TestGrid:
    def test_the_target_is_the_index_of_the_value(self):
        schema = Schema((3,), -2.0, 4.0, 1.5)
        values = torch.tensor([[-2.0, -0.5, 4.0]])
        transform = fitted(schema, values, grid=True)
        assert transform(values).x.tolist() == [[0, 1, 4]]
        assert transform.inverse(transform(values).x).tolist() == values.tolist()
        assert schema.levels == 5

    def test_stored_bytes_need_no_conversion(self):
        values = torch.tensor([[0, 128, 255]], dtype=torch.uint8)
        schema = Schema((3,), 0.0, 255.0, 1.0)
        assert fitted(schema, values, grid=True)(values).x.tolist() == [[0, 128, 255]]

    def test_errors_are_comparable_in_0_to_1_whatever_the_likelihood(self):
        values = sample_rows(GREY)
        for grid in (True, False):
            transform = fitted(GREY, values, grid=grid)
            found = transform.comparable(transform(values).x)
            torch.testing.assert_close(found, values.float() / 255, rtol=1e-5, atol=1e-5)
            assert transform.error_unit == "values scaled to [0, 1]"

    def test_without_a_range_errors_are_in_standard_deviations(self):
        for schema, grid in ((VECTORS, False), (COUNTS, True)):
            values = sample_rows(schema)
            transform = fitted(schema, values, grid=grid)
            batch = transform(values)
            torch.testing.assert_close(transform.comparable(batch.x), batch.seen, rtol=1e-5, atol=1e-5)
            assert "standard deviation" in transform.error_unit

    def test_resolution_is_the_step_in_the_unit_of_the_likelihood(self):
        values = sample_rows(GREY)
        assert fitted(GREY, values, grid=True).resolution == 0
        assert fitted(VECTORS, sample_rows(VECTORS)).resolution == 0
        assert fitted(GREY, values).resolution == pytest.approx(1 / values.float().std(correction=0).item(), rel=1e-5)


class TestBinarise:
    VALUES = torch.tensor([[0, 100, 128, 255]], dtype=torch.uint8)
    SCHEMA = Schema((4,), 0.0, 255.0, 1.0)

    def test_the_threshold_is_the_middle_of_the_range(self):
        transform = fitted(self.SCHEMA, self.VALUES, grid=True, binarize="threshold")
        assert transform(self.VALUES).x.tolist() == [[0, 0, 1, 1]]
        assert transform.modelled == Schema((4,), 0.0, 1.0, 1.0)
        assert transform.inverse(torch.tensor([[0.0, 1.0]])).tolist() == [[0, 255]]

    def test_draws_are_new_each_time_seeded_and_can_be_shared_by_rows(self):
        transform = fitted(self.SCHEMA, self.VALUES, grid=True, binarize="draw")
        values, noise = self.VALUES.repeat(200, 1), Noise(0)
        first, second, again = (transform(values, source).x for source in (noise, noise, Noise(0)))
        assert torch.equal(first, again)
        assert not torch.equal(first, second)
        assert first[:, [0, 3]].unique(dim=0).tolist() == [[0, 1]]
        together = transform(values, Noise(0, shared=True)).x
        assert torch.equal(together, together[:1].expand_as(together))


class TestEdges:
    def test_a_column_that_never_moves_is_centred_and_finite(self):
        values = torch.cat([torch.full((9, 1), 5.0), torch.linspace(0, 1, 9)[:, None]], 1)
        seen = fitted(Schema((2,), 0.0, 5.0), values)(values).seen
        assert torch.equal(seen[:, 0], torch.zeros(9))
        assert seen.isfinite().all()

    def test_a_large_offset_does_not_drown_a_small_spread(self):
        values = 1e6 + torch.randn(1000, 1, dtype=torch.float64, generator=torch.manual_seed(0))
        transform = fitted(Schema((1,), 0.0, 2e6), values)
        assert transform.scale.item() == pytest.approx(values.std(correction=0).item(), rel=1e-6)

    def test_one_row_and_then_another(self):
        transform = Transform(VECTORS, grid=False)
        first, second = torch.tensor([[1.0, 2.0, 3.0]]), torch.tensor([[3.0, 2.0, -1.0]])
        transform.update(first)
        assert transform(first).seen.abs().max() == 0
        transform.update(second)
        assert transform.mean.tolist() == [2, 2, 1]
        assert transform.scale[[0, 2]].tolist() == [1, 2]

    def test_the_state_goes_into_a_file_and_back(self):
        values = sample_rows(VECTORS)
        transform, copy = fitted(VECTORS, values), Transform(VECTORS, grid=False)
        copy.load_state_dict(transform.state_dict())
        copy.update(values + 1)
        transform.update(values + 1)
        assert torch.equal(copy(values).seen, transform(values).seen)


@pytest.mark.parametrize("shape", [(1, 28, 28), (3, 9, 7)])
def test_what_is_seen_in_training_is_what_is_seen_later_to_the_last_bit(shape):
    values = np.random.default_rng(0).integers(0, 256, (50, *shape)).astype(np.uint8)
    transform = Transform(Schema(shape, 0.0, 255.0, 1.0), grid=True)
    rows = torch.from_numpy(values)
    transform.fit(rows)
    assert torch.equal(transform.train()(rows).seen, transform.eval()(rows).seen)
    half = rows[..., : shape[2] // 2]  # of another size, as denoisers meet them
    assert torch.equal(transform.train()(half).seen, transform.eval()(rows).seen[..., : shape[2] // 2])
