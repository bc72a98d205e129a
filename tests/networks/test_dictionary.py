"""The dictionary: linear both ways, atoms of norm 1, and steps that look for the code."""

import math

import numpy as np
import pytest
import torch
from scipy.optimize import nnls

from narrows.data.schema import infer_schema
from narrows.errors import InputError
from narrows.fit import fit
from narrows.networks import Dictionary
from narrows.plan import Plan
from narrows.presets import choose


def built(code=10, cells=6, **settings):
    torch.manual_seed(0)
    network = Dictionary(**settings)
    network.build((cells,), code, code, cells)
    with torch.no_grad():
        network.bias.normal_()
    return network


def test_the_encoder_sees_x_less_the_bias_and_starts_along_the_atoms():
    network, x = built(), torch.randn(5, 6)
    torch.testing.assert_close(network.encode(x), (x - network.bias) @ network.atoms.T)
    z = torch.randn(5, 10)
    torch.testing.assert_close(network.decode(z), z @ network.atoms + network.bias)


def test_a_tied_encoder_stays_the_decoder():
    network, x = built(tied=True), torch.randn(5, 6)
    with torch.no_grad():
        network.directions.normal_()
    torch.testing.assert_close(network.encode(x), (x - network.bias) @ network.atoms.T)
    assert "weight" not in dict(network.named_parameters())


def test_a_step_is_one_of_a_proximal_descent():
    network, x = built(steps=1), torch.randn(5, 6)
    with torch.no_grad():
        network.log_threshold.fill_(math.log(0.3))
        network.log_rate.fill_(math.log(0.7))
    centred = x - network.bias
    z = (centred @ network.atoms.T - 0.3).relu()
    g = (centred - z @ network.atoms) @ network.atoms.T
    for code, row, found, left, active in zip(network.encode(x), centred, z, g, z > 0, strict=True):
        way = (left * active) @ network.atoms
        length = (row - found @ network.atoms) @ way / (way @ way)  # of the shortest remainder along it
        torch.testing.assert_close(code, found + 0.7 * length * left)


def test_where_no_unit_is_active_a_step_has_its_whole_length():
    network, x = built(steps=1), torch.randn(5, 6)
    with torch.no_grad():
        network.log_threshold.fill_(math.log(100))
    torch.testing.assert_close(network.encode(x), (x - network.bias) @ network.atoms.T)


def test_a_descent_stays_near_its_row_however_many_units_hear_it():
    """With eigenvalues of A A^T near 100, a rate of 1 for all rows would leave 100 times as much at each step."""
    network, x = built(code=1500, cells=20, steps=30), torch.randn(40, 20)
    with torch.no_grad():
        network.log_threshold.fill_(math.log(0.1))
        centred = x - network.bias
        left = centred - network.encode(x).relu() @ network.atoms
    assert (left.norm(dim=1) < 10 * centred.norm(dim=1)).all()


def test_many_steps_come_to_the_non_negative_fit():
    """Without a threshold, to that of least squares: scipy's nnls, for fewer atoms than cells."""
    network, x = built(code=4, steps=400), torch.randn(6, 6)
    with torch.no_grad():
        network.log_threshold.fill_(-30)
    z = network.encode(x).relu().detach().numpy()
    for code, row in zip(z, (x - network.bias).detach().numpy(), strict=True):
        np.testing.assert_allclose(code, nnls(network.atoms.detach().numpy().T, row)[0], atol=1e-4)


@pytest.mark.parametrize("plan", [{"optimizer": "sgd"}, {"optimizer": "adamw"}, {"average": 0.9}])
def test_atoms_have_norm_1_after_any_training(plan):
    x = np.random.default_rng(0).standard_normal((200, 6)).astype(np.float32)
    settings = ["latent.size=12", "latent.k=2"]
    model = fit(x, infer_schema(x), "dictionary", settings, Plan(epochs=2, **plan)).model
    torch.testing.assert_close(model.network.atoms.norm(dim=1), torch.ones(12))


@pytest.mark.parametrize(
    ("settings", "says"),
    [
        (["latent=gaussian"], "latent=batch-top-k"),
        (["likelihood=bernoulli"], "likelihood"),
        (["network.steps=-1"], "at least 0"),
    ],
)
def test_what_it_cannot_serve_is_refused(settings, says):
    with pytest.raises(InputError, match=says):
        choose("dictionary", infer_schema(np.random.default_rng(0).standard_normal((9, 6))), settings)


def test_known_features_are_found_again():
    """24 features in 16 dimensions, 1.5 on a row: each has an atom within a cosine of 0.95."""
    random = np.random.default_rng(0)
    features = random.standard_normal((24, 16))
    features /= np.linalg.norm(features, axis=1, keepdims=True)
    z = (random.random((8000, 24)) < 1.5 / 24) * random.uniform(0.5, 1.5, (8000, 24))
    x = (z @ features).astype(np.float32)
    settings = ["latent.size=32", "latent.k=2"]
    model = fit(x, infer_schema(x), "dictionary", settings, Plan(epochs=16, rate=0.006, batch_size=256)).model
    atoms = (model.network.atoms.detach() * model.transform.scale).numpy()
    cosine = features @ (atoms / np.linalg.norm(atoms, axis=1, keepdims=True)).T
    assert np.median(cosine.max(1)) > 0.98
    assert cosine.max(1).mean() > 0.95
