"""The registry, specifications, and what a person is told of a wrong one."""

import json

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from narrows import parts
from narrows.axes import Latent
from narrows.corruptions import Mask
from narrows.errors import InputError
from narrows.latents import Gaussian, VectorQuantized
from narrows.model import Recipe
from narrows.objectives import Elbo
from narrows.parts import Part, axes, kinds, make, typed


@pytest.fixture
def registry(monkeypatch):
    """A registry that forgets the kinds of this test."""
    monkeypatch.setattr(parts, "_registry", {axis: dict(kinds) for axis, kinds in parts._registry.items()})


def test_the_six_axes_and_their_kinds():
    assert [axis for axis in axes() if axis not in ("view", "prior")] == [
        "network",
        "latent",
        "likelihood",
        "corruption",
        "objective",
        "gradient",
    ]
    assert {"point", "l1", "kl-sparse", "top-k", "gaussian", "bernoulli", "categorical", "vq"} <= set(kinds("latent"))
    assert {"mlp", "conv"} <= set(kinds("network"))
    assert {"gaussian", "bernoulli", "categorical", "logistic", "poisson"} <= set(kinds("likelihood"))
    assert {"none", "gaussian", "mask", "salt-and-pepper"} <= set(kinds("corruption"))
    assert {"elbo", "iwae"} <= set(kinds("objective"))
    assert {"pathwise", "score", "straight-through"} <= set(kinds("gradient"))


@pytest.mark.usefixtures("registry")
def test_a_class_statement_enters_a_kind_on_the_axis_of_its_parent():
    class Wide(Gaussian, kind="wide"):
        def __init__(self, size: int = 99, slack: float = 0.5) -> None:
            super().__init__(size)
            self.slack = slack

    assert kinds("latent")["wide"] is Wide
    made = make("latent", {"kind": "wide", "slack": 1})
    assert made.spec() == {"kind": "wide", "size": 99, "slack": 1.0}
    assert isinstance(made.slack, float)
    assert make("latent", made.spec()).spec() == made.spec()


def test_every_kind_has_at_most_seven_settings_and_a_type_for_each():
    for kind in (kind for axis in axes() for kind in kinds(axis).values()):
        settings = {name: p for name, p in kind.parameters_of().items() if p.kind is p.POSITIONAL_OR_KEYWORD}
        assert len(settings) <= 7
        assert all(p.annotation is not p.empty and p.default is not p.empty for p in settings.values()), kind


def test_a_name_alone_makes_a_part_with_its_defaults():
    assert make("latent", "gaussian").spec() == make("latent", {"kind": "gaussian"}).spec() == Gaussian().spec()


@given(size=st.integers(1, 50), sigma=st.none() | st.floats(0.01, 10), beta=st.floats(0, 100), residual=st.booleans())
def test_a_specification_comes_back_from_json(size, sigma, beta, residual):
    specs = {
        "network": {"kind": "mlp", "residual": residual},
        "latent": {"kind": "gaussian", "size": size},
        "likelihood": {"kind": "gaussian", "sigma": sigma},
        "corruption": "mask",
        "objective": {"kind": "elbo", "beta": beta},
        "gradient": "pathwise",
    }
    recipe = Recipe.from_spec(specs)
    text = json.dumps(recipe.spec(), allow_nan=False)
    assert Recipe.from_spec(json.loads(text)).spec() == recipe.spec()
    assert recipe.latent.size == size
    assert recipe.likelihood.sigma == sigma
    assert recipe.objective.beta == beta
    assert recipe.network.residual is residual


def test_a_fresh_part_is_separate_and_untrained():
    trained = VectorQuantized(entries=8)
    with torch.no_grad():
        trained.codebook.fill_(7.0)
    fresh = trained.fresh()
    assert fresh.get_params() == trained.get_params()
    assert not (fresh.codebook == 7).any()
    fresh.commitment = 9.0
    assert trained.commitment == 0.25
    assert trained.fresh(entries=4).codebook.shape == (4, 4)


class TestWrongSpecifications:
    """One line each: what was given, and the nearest right name or the type; never an error of another kind."""

    @pytest.mark.parametrize(
        ("axis", "spec", "message"),
        [
            ("latnet", "point", "unknown axis 'latnet'; did you mean 'latent'?"),
            ("latent", "gausian", "unknown latent 'gausian'; did you mean 'gaussian'?"),
            (
                "latent",
                {"kind": "gaussian", "siz": 3},
                "unknown parameter of latent gaussian 'siz'; did you mean 'size'?",
            ),
            ("latent", {"size": 3}, "unknown latent 'None'"),
            ("latent", {"kind": "gaussian", "size": "many"}, "latent.size was given as 'many'; it takes int"),
            ("latent", {"kind": "gaussian", "size": 2.5}, "latent.size was given as 2.5; it takes int"),
            ("latent", {"kind": "gaussian", "size": True}, "latent.size was given as True; it takes int"),
            ("latent", {"kind": "gaussian", "size": None}, "latent.size was given as None; it takes int"),
            ("latent", {"kind": "gaussian", "size": [4]}, r"latent.size was given as \[4\]; it takes int"),
            ("latent", {"kind": "gaussian", "size": "0"}, "latent.size was given as 0; it must be at least 1"),
            ("likelihood", {"kind": "gaussian", "sigma": "x"}, "it takes float or none"),
            ("network", {"kind": "mlp", "residual": "maybe"}, "network.residual was given as 'maybe'; it takes bool"),
            ("objective", {"kind": "elbo", "beta": float("nan")}, "objective.beta was given as nan"),
        ],
    )
    def test_names_the_mistake(self, axis, spec, message):
        with pytest.raises(InputError, match=message) as caught:
            make(axis, spec)
        assert "\n" not in str(caught.value)

    def test_a_kind_without_settings_says_so(self):
        with pytest.raises(InputError, match=r"unknown parameter of corruption none 'rate'.*allowed: none"):
            make("corruption", {"kind": "none", "rate": 0.2})

    @pytest.mark.parametrize("name", ["args", "kwargs"])
    def test_python_s_own_names_are_no_settings(self, name):
        with pytest.raises(InputError, match="unknown parameter"):
            make("corruption", {"kind": "none", name: 1})

    def test_an_infinite_size_is_no_size(self):
        with pytest.raises(InputError, match=r"latent\.size was given as inf"):
            make("latent", {"kind": "gaussian", "size": float("inf")})

    @pytest.mark.parametrize("setting", [{"kind": "elbo", "beta": float("inf")}, {"kind": "elbo", "free_nats": "inf"}])
    def test_an_infinite_weight_is_no_weight(self, setting):
        """It trains to nothing, and has no place in a JSON header."""
        with pytest.raises(InputError, match=r"was given as .?inf"):
            make("objective", setting)


class TestTyped:
    @pytest.mark.parametrize(
        ("given_value", "annotation", "expected"),
        [
            ("16", int, 16),
            (16.0, int, 16),
            ("0.5", float, 0.5),
            (1, float, 1.0),
            ("true", bool, True),
            ("False", bool, False),
            (False, bool, False),
            ("none", float | None, None),
            (None, float | None, None),
            ("2", float | None, 2.0),
            ("1,2,3", tuple[int, ...], (1, 2, 3)),
            ([1, 2], tuple[int, ...], (1, 2)),
            ("word", str, "word"),
        ],
    )
    def test_reads(self, given_value, annotation, expected):
        read = typed("x", given_value, annotation)
        assert read == expected
        assert type(read) is type(expected)

    @pytest.mark.parametrize(
        ("given_value", "annotation"),
        [("1.5", int), ("", int), ("yes", bool), (1, bool), ("none", float), ("1,b", tuple[int, ...]), (True, float)],
    )
    def test_refuses(self, given_value, annotation):
        with pytest.raises(InputError, match="x was given as"):
            typed("x", given_value, annotation)


def test_a_part_refuses_nothing_unless_it_says_so():
    assert Part.refuses(Mask(), None) is None
    assert issubclass(Gaussian, Latent)
    assert Elbo.axis == "objective"
