"""Whole models against closed forms: PCA, probabilistic PCA, and figures that do not depend on the unit of the data."""

import numpy as np
import pytest
import torch
from scipy import stats
from scipy.linalg import subspace_angles
from sklearn.decomposition import PCA

from narrows.data.schema import infer_schema
from narrows.fit import fit
from narrows.inference import bounds, codes
from narrows.model import Model, Recipe
from narrows.noise import Noise
from narrows.plan import Plan
from narrows.values import Clock, table

CODE = 2
LINEAR = {
    "network": {"kind": "mlp", "depth": 0},
    "latent": {"kind": "point", "size": CODE},
    "likelihood": {"kind": "gaussian", "sigma": 1.0},
    "corruption": "none",
    "objective": "elbo",
    "gradient": "pathwise",
}
END = Clock.at_end()


@pytest.fixture(scope="module")
def values():
    """200 rows of 8 columns with a clear gap after the second principal component, also when standardised."""
    rng = np.random.default_rng(0)
    factors = rng.normal(size=(200, CODE)) * [2.0, 1.3]
    return factors @ rng.normal(size=(CODE, 8)) + 0.4 * rng.normal(size=(200, 8))


def linear_model(values, **choices):
    model = Model(Recipe.from_spec(LINEAR | choices), infer_schema(values)).double()
    model.adapt(torch.from_numpy(values))
    return model


def test_a_linear_autoencoder_spans_the_principal_subspace(values):
    model = linear_model(values)
    raw = torch.from_numpy(values)
    optimizer = torch.optim.LBFGS(
        model.parameters(), max_iter=300, tolerance_grad=1e-9, tolerance_change=1e-13, line_search_fn="strong_wolfe"
    )

    def closure():
        optimizer.zero_grad()
        surrogate, _ = model.loss(raw, Noise(0), END)
        surrogate.backward()
        return surrogate

    optimizer.step(closure)
    standardised = model.transform(raw).x.numpy()
    pca = PCA(CODE).fit(standardised)
    decoder = model.network.decoder[-1].weight.detach().numpy()
    assert subspace_angles(pca.components_.T, decoder).max() < 1e-3
    errors = standardised - pca.inverse_transform(pca.transform(standardised))
    optimum = 0.5 * (errors**2).sum(1).mean() + 4 * np.log(2 * np.pi)
    assert table([model.loss(raw, Noise(0), END)[1]])[1].mean().item() == pytest.approx(optimum, rel=1e-6)


@pytest.fixture(scope="module")
def probabilistic(values):
    """A linear VAE set to the optimum of Tipping and Bishop 1999, and scikit-learn's PCA of its input."""
    model = linear_model(values, latent={"kind": "gaussian", "size": CODE}, likelihood="gaussian")
    x = model.transform(torch.from_numpy(values)).x.numpy()
    pca = PCA(CODE).fit(x)
    noise = pca.noise_variance_
    strength = pca.explained_variance_ - noise
    weight = pca.components_.T * np.sqrt(strength)
    (encoder,), (decoder,) = model.network.encoder, model.network.decoder
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.zero_()
        decoder.weight.copy_(torch.from_numpy(weight))
        decoder.bias.copy_(torch.from_numpy(pca.mean_))
        encoder.weight[:CODE] = torch.from_numpy(weight.T / pca.explained_variance_[:, None])
        encoder.bias[:CODE] = -encoder.weight[:CODE] @ torch.from_numpy(pca.mean_)
        sigma = torch.from_numpy(np.sqrt(noise / pca.explained_variance_)) - 1e-4
        encoder.bias[CODE:] = torch.expm1(sigma).log() - 0.5413248546129181
        model.likelihood.log_sigma.fill_(0.5 * np.log(noise - model.likelihood.floor.item() ** 2))
    return model, pca, x


def test_with_the_exact_posterior_every_draw_gives_the_exact_likelihood(values, probabilistic):
    """log p(x, z) - log q(z | x) is then log p(x) whatever z: no noise is left, and every term has to be right."""
    model, pca, x = probabilistic
    terms = model.terms(model.batch(torch.from_numpy(values), Noise(0)), 3, Noise(1))
    exact = stats.multivariate_normal(pca.mean_, pca.get_covariance()).logpdf(x)
    np.testing.assert_allclose((terms.log_px - terms.log_ratio).detach().numpy(), np.tile(exact, (3, 1)), rtol=1e-7)
    assert (terms.log_px - terms.kl).mean().item() == pytest.approx(pca.score(x), abs=0.3)


def test_the_bound_of_raw_rows_includes_the_change_of_variables(values, probabilistic):
    """The density of the raw data, by scipy; 256 draws leave an error of about 1 / 16 nat, which all rows share."""
    model, pca, _ = probabilistic
    scale, shift = model.transform.scale.numpy(), model.transform.shift.numpy()
    raw_covariance = pca.get_covariance() * np.outer(scale, scale)
    exact = stats.multivariate_normal(pca.mean_ * scale + shift, raw_covariance).logpdf(values)
    found = bounds(model, torch.from_numpy(values), samples=256).numpy()
    assert abs(np.log(scale).sum()) > 1
    np.testing.assert_allclose(found, exact, atol=4 / 16)


PLAN = Plan(epochs=20, batch_size=40, schedule="constant", rate=3e-3, precision="float32")


@pytest.fixture(scope="module", params=["none", "1"], ids=["learned sigma", "sigma 1"])
def pair(request):
    rng = np.random.default_rng(1)
    factors = rng.normal(size=(600, 8))
    values = np.tanh(factors @ rng.normal(size=(8, 24)) / 2) + 0.02 * rng.normal(size=(600, 24))
    values = ((values - values.min()) / np.ptp(values)).astype(np.float32)
    settings = ["latent.size=8", "network.width=64", f"likelihood.sigma={request.param}"]
    fitted = [fit(unit * values, infer_schema(unit * values), "variational", settings, PLAN) for unit in (1, 16)]
    return values, [one.model for one in fitted], [one.record for one in fitted]


class TestTheUnitOfTheData:
    """The trap: with sigma fixed at 1 in the data's unit, 0 of 8 units were active; with the data times 16, 8."""

    def test_the_same_units_are_active_and_none_has_collapsed(self, pair):
        values, models, _ = pair
        used = [
            model.latent.used(codes(model, torch.from_numpy(unit * values)))
            for unit, model in zip((1, 16), models, strict=True)
        ]
        assert torch.equal(*used)
        assert used[0].sum() == 8

    def test_the_figures_are_the_same(self, pair):
        *_, records = pair
        one, other = (record["history"][-1]["validation"] for record in records)
        assert one.keys() == other.keys()
        for name in one:
            assert one[name] == pytest.approx(other[name], rel=1e-4), name

    def test_bits_per_dimension_are_equal_after_the_change_of_variables(self, pair):
        values, models, _ = pair
        ln2_cells = 24 * np.log(2)
        bits = [
            -bounds(model, torch.from_numpy(unit * values)).double().mean().item() / ln2_cells - np.log2(unit)
            for unit, model in zip((1, 16), models, strict=True)
        ]
        assert bits[0] == pytest.approx(bits[1], rel=0.01)
        assert abs(bits[0]) > 0.1
