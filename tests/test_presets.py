"""Presets: rows of choices that fit the data, and settings on top of them."""

import itertools

import pytest

from narrows.data.schema import Schema
from narrows.data.specimens import MIXED
from narrows.errors import InputError
from narrows.parts import kinds, make
from narrows.presets import PRESETS, choose

SCHEMAS = {
    "image-levels": Schema((1, 28, 28), 0.0, 255.0, 1.0),
    "image-binary": Schema((1, 28, 28), 0.0, 1.0, 1.0),
    "small image": Schema((1, 8, 8), 0.0, 16.0, 1.0),
    "vector-real": Schema((30,), -1.0, 5.0),
    "vector-counts": Schema((30,), 0.0, float("inf"), 1.0),
    "table": MIXED,
}


@pytest.mark.parametrize("data", SCHEMAS)
@pytest.mark.parametrize("preset", PRESETS)
def test_every_preset_fits_the_data_or_says_what_to_take(preset, data):
    schema = SCHEMAS[data]
    if preset == "convolutional" and not schema.is_image:
        with pytest.raises(InputError, match="take network=mlp"):
            choose(preset, schema)
    elif preset == "denoiser" and not schema.is_image:
        way_out = "take network=mlp" if schema.columns is None else "take likelihood=columns"
        with pytest.raises(InputError, match=way_out):
            choose(preset, schema)
    elif preset in ("imputing", "compressor-table") and schema.columns is None:
        with pytest.raises(InputError, match=r"likelihood columns scores tables.*take likelihood="):
            choose(preset, schema)
    elif preset in ("dictionary", "sparse-features") and schema.columns is not None:
        with pytest.raises(InputError, match="take likelihood=columns"):
            choose(preset, schema)
    elif preset in ("compressor", "compressor-fast") and not schema.is_image:
        with pytest.raises(InputError, match=r"likelihood local tells pixels.*take likelihood="):
            choose(preset, schema)
    elif preset == "lossy" and (not schema.is_image or schema.values == "binary"):
        with pytest.raises(InputError, match=r"likelihood quantised tells levels.*take likelihood="):
            choose(preset, schema)
    else:
        recipe = choose(preset, schema)
        assert not list(recipe.refusals(schema))
        for axis, chosen in PRESETS[preset].choices.items():
            assert recipe.spec()[axis] == make(axis, chosen).spec()


def test_the_seed_kinds_are_there_with_their_reason_and_source():
    seeds = {"autoencoder", "convolutional", "denoising", "sparse", "variational", "beta", "iwae", "vq", "discrete"}
    assert seeds <= set(PRESETS)
    assert all(row.name == name and row.when and row.source for name, row in PRESETS.items())


@pytest.mark.parametrize(
    ("data", "network", "likelihood"),
    [
        ("image-levels", "conv", "logistic"),
        ("image-binary", "conv", "bernoulli"),
        ("small image", "mlp", "logistic"),
        ("vector-real", "mlp", "gaussian"),
        ("vector-counts", "mlp", "poisson"),
        ("table", "mlp", "columns"),
    ],
)
def test_what_is_left_open_follows_the_data(data, network, likelihood):
    recipe = choose("variational", SCHEMAS[data])
    assert (recipe.network.kind, recipe.likelihood.kind) == (network, likelihood)
    assert recipe.likelihood.get_params() == kinds("likelihood")[likelihood]().get_params()


@pytest.mark.parametrize(
    ("settings", "gradient"),
    [
        ([], "pathwise"),
        (["latent=point"], "pathwise"),
        (["latent=bernoulli"], "straight-through"),
        (["latent=bernoulli", "objective.samples=4"], "score"),
        (["latent=categorical", "objective=iwae"], "score"),
    ],
)
def test_the_estimator_follows_the_code(settings, gradient):
    assert choose("variational", SCHEMAS["vector-real"], settings).gradient.kind == gradient


SETTINGS = ("latent=gaussian", "latent.size=5", "objective=iwae", "objective.samples=7", "network.width=32")


@pytest.mark.parametrize("order", list(itertools.permutations(range(len(SETTINGS))))[::11])
def test_the_order_of_settings_does_not_matter(order):
    spec = choose("sparse", SCHEMAS["vector-real"], [SETTINGS[i] for i in order]).spec()
    assert spec["latent"] == {"kind": "gaussian", "size": 5, "prior": {"kind": "standard"}}
    assert spec["objective"] == {"kind": "iwae", "samples": 7, "warm_up": 0.0}
    assert spec["network"] == {"kind": "mlp", "width": 32, "depth": 1, "residual": False}


def test_a_part_in_a_part_is_chosen_and_set_like_any_other():
    schema = SCHEMAS["vector-real"]
    settings = ["latent.prior.components=7", "latent.size=5", "latent.prior=mixture", "latent=gaussian"]
    for order in itertools.permutations(settings):
        spec = choose("autoencoder", schema, order).spec()["latent"]
        assert spec == {
            "kind": "gaussian",
            "size": 5,
            "prior": {"kind": "mixture", "components": 7, "full": False, "classes": []},
        }
        assert choose("autoencoder", schema, {"latent": spec}).spec()["latent"] == spec
    with pytest.raises(InputError, match=r"prior\.components was given as 0; it must be at least 1"):
        choose("variational", schema, ["latent.prior=vamp", "latent.prior.components=0"])
    with pytest.raises(InputError, match="unknown prior 'vapm'; did you mean 'vamp'"):
        choose("variational", schema, ["latent.prior=vapm"])
    with pytest.raises(InputError, match=r"latent\.prior was given as 3; it takes Prior"):
        choose("variational", schema, {"latent.prior": 3})


def test_settings_come_as_a_mapping_too():
    as_pairs = choose("sparse", SCHEMAS["vector-real"], ["latent.k=3", "corruption=mask"])
    assert as_pairs.spec() == choose("sparse", SCHEMAS["vector-real"], {"latent.k": 3, "corruption": "mask"}).spec()


def test_a_setting_changes_one_choice_and_a_new_kind_begins_with_its_defaults():
    schema = SCHEMAS["vector-real"]
    kept = {"kind": "top-k", "size": 64, "k": 3, "signed": True, "dead_after": 0}
    assert choose("sparse", schema, ["latent.k=3"]).spec()["latent"] == kept
    assert choose("sparse", schema, ["latent=top-k"]).spec()["latent"] == {**kept, "size": 16, "k": 0}
    assert choose("beta", schema, ["objective=elbo"]).objective.beta == 1.0
    assert choose("beta", schema, ["objective.warm_up=0.5"]).objective.beta == 4.0


@pytest.mark.parametrize(
    ("preset", "settings", "message"),
    [
        ("variatonal", [], "unknown preset 'variatonal'; did you mean 'variational'?"),
        ("variational", ["latnet=point"], "unknown axis 'latnet'; did you mean 'latent'?"),
        ("variational", ["latnet.size=3"], "unknown axis 'latnet'; did you mean 'latent'?"),
        ("variational", ["latent=guassian"], "unknown latent 'guassian'; did you mean 'gaussian'?"),
        ("variational", ["latent.sise=3"], "did you mean 'size'?"),
        ("variational", ["latent.size"], "has no value; write axis=kind or axis.parameter=value"),
        ("variational", ["latent.size=few"], "latent.size was given as 'few'; it takes int"),
        ("variational", ["likelihood=bernoulli"], "likelihood bernoulli"),
        ("variational", ["gradient=straight-through"], "take gradient=pathwise"),
        ("autoencoder", ["objective=iwae"], "latent=gaussian"),
    ],
)
def test_a_mistake_is_named_in_one_line(preset, settings, message):
    with pytest.raises(InputError) as caught:
        choose(preset, SCHEMAS["vector-real"], settings)
    assert message in str(caught.value)
    assert "\n" not in str(caught.value)


def test_choosing_leaves_the_table_as_it_is():
    before = choose("sparse", SCHEMAS["vector-real"]).spec()
    choose("sparse", SCHEMAS["vector-real"], ["latent.size=3", "latent.k=1"])
    assert choose("sparse", SCHEMAS["vector-real"]).spec() == before
