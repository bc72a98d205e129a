"""Presets: the kinds of autoencoder people ask for by name, each a row of choices."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

from narrows.axes import Latent, Objective, usual_likelihood
from narrows.data.schema import Schema
from narrows.errors import InputError, unknown
from narrows.model import Recipe
from narrows.parts import as_mapping, changed, kinds, make

SMALLEST_CONV_SIDE = 12
USUAL_GRADIENTS = ("pathwise", "score", "straight-through")  # the first that serves is taken


@dataclass(frozen=True)
class Preset:
    """One row: what differs from the plain autoencoder, when to take it, and where it comes from."""

    name: str
    when: str
    source: str
    choices: Mapping[str, Any] = field(default_factory=dict)
    symbols: bool = False  # whether tables are read as symbols that stand for cells as they are written


PLAIN: Mapping[str, Any] = {
    "network": "auto",
    "latent": "point",
    "likelihood": "auto",
    "corruption": "none",
    "objective": "elbo",
    "gradient": "auto",
}

PRESETS: Mapping[str, Preset] = {
    row.name: row
    for row in (
        Preset(
            "autoencoder",
            "a short code with the smallest reconstruction error; its codes cannot be sampled",
            "Hinton and Salakhutdinov 2006",
        ),
        Preset(
            "convolutional",
            "the same for images, with fewer weights and better detail",
            "Masci et al. 2011",
            {"network": "conv"},
        ),
        Preset(
            "denoising",
            "codes that hold under noise: it learns to undo a corruption",
            "Vincent et al. 2008",
            {"corruption": {"kind": "gaussian", "sigma": 0.3}},
        ),
        Preset(
            "denoiser",
            "noise taken out of images of any size: no code, so no detail need pass through one",
            "Ronneberger et al. 2015; Zhang et al. 2021",
            {
                "network": "u-net",
                "latent": "whole",
                "likelihood": "gaussian",
                "corruption": {"kind": "gaussian", "sigma": 0.0, "widest": 1.0},
            },
        ),
        Preset(
            "sparse",
            "many units of which few are on: features one can name",
            "Makhzani and Frey 2014",
            {"latent": {"kind": "top-k", "size": 64}},
        ),
        Preset(
            "dictionary",
            "rows as sums of few of many directions, each of which means something: dictionary learning",
            "Olshausen and Field 1996; Bussmann et al. 2024",
            {
                "network": {"kind": "dictionary", "tied": True, "steps": 3},
                "latent": {"kind": "batch-top-k", "size": 512, "k": 8},
                "likelihood": "gaussian",
            },
        ),
        Preset(
            "sparse-features",
            "the same from activations of a network, by the million: a linear encoder, several times as fast",
            "Bricken et al. 2023; Bussmann et al. 2024",
            {
                "network": "dictionary",
                "latent": {"kind": "batch-top-k", "size": 1024, "k": 16},
                "likelihood": "gaussian",
            },
        ),
        Preset(
            "map",
            "codes of two numbers to look at: what is alike lies together; with batches of 2,000 rows or so",
            "van der Maaten 2009; Sainburg et al. 2021",
            {
                "network": {"kind": "mlp", "width": 256, "depth": 2, "residual": True},
                "latent": {"kind": "point", "size": 2},
                "objective": "neighbours",
            },
        ),
        Preset(
            "variational",
            "new examples from the prior, a bound on log p(x), smooth codes",
            "Kingma and Welling 2014",
            {"latent": "gaussian"},
        ),
        Preset(
            "beta",
            "a variational code that pays more for each nat: fewer, more separate factors",
            "Higgins et al. 2017",
            {"latent": "gaussian", "objective": {"kind": "elbo", "beta": 4.0}},
        ),
        Preset(
            "total-correlation",
            "separate factors from a code that keeps what it knows: only what ties its numbers together costs more",
            "Chen et al. 2018",
            {"latent": "gaussian", "objective": "total-correlation"},
        ),
        Preset(
            "vamp",
            "a prior that learns where codes lie: a tighter bound and better draws than the variational one",
            "Tomczak and Welling 2018",
            {"latent": {"kind": "gaussian", "prior": "vamp"}},
        ),
        Preset(
            "ladder",
            "variational codes of several levels, in which what is coarse tells what is fine",
            "Sonderby et al. 2016",
            {"latent": "ladder"},
        ),
        Preset(
            "iwae",
            "a tighter bound on log p(x) than the variational one, for k times the decoder's work",
            "Burda et al. 2016; Tucker et al. 2019",
            {"latent": "gaussian", "objective": {"kind": "iwae", "samples": 5}, "gradient": "doubly-reparameterised"},
        ),
        Preset(
            "conditional",
            "new examples of a class that is chosen, where rows come with labels; codes that need not tell the class",
            "Kingma et al. 2014",
            {"latent": "conditional"},
        ),
        Preset(
            "vq",
            "codes from a learned codebook, for a prior over symbols or for storage",
            "van den Oord et al. 2017",
            {"latent": "vq"},
        ),
        Preset(
            "discrete",
            "codes of bits with a bound, trained without a reparameterisation",
            "Mnih and Rezende 2016",
            {
                "latent": {"kind": "bernoulli", "size": 64},
                "objective": {"kind": "elbo", "samples": 4},
                "gradient": "score",
            },
        ),
        Preset(
            "denoising-variational",
            "a variational code whose encoder sees the input corrupted",
            "Im et al. 2017",
            {"latent": "gaussian", "corruption": {"kind": "gaussian", "sigma": 0.3}},
        ),
        Preset(
            "compressor",
            "images told pixel by pixel from their neighbours: the fewest bits",
            "Salimans et al. 2017; Schirrmeister et al. 2020",
            {"network": "none", "latent": "none", "likelihood": {"kind": "local", "told": 0}},
        ),
        Preset(
            "compressor-fast",
            "the same with a smaller window and network: a few more bits, and more than ten times the speed",
            "Salimans et al. 2017; Schirrmeister et al. 2020",
            {
                "network": "none",
                "latent": "none",
                "likelihood": {"kind": "local", "told": 0, "reach": 2, "width": 32, "depth": 2, "components": 3},
            },
        ),
        Preset(
            "bits-back",
            "images and tables of levels compressed through a code, without neighbours",
            "Townsend et al. 2019",
            {"network": {"kind": "mlp", "residual": True}, "latent": {"kind": "gaussian", "size": 50}},
        ),
        Preset(
            "compressor-table",
            "tables of text, numbers and gaps compressed, from which every cell comes back as it was",
            "Townsend et al. 2019; Nazabal et al. 2020",
            {
                "network": {"kind": "mlp", "width": 128},
                "latent": {"kind": "gaussian", "size": 16},
                "likelihood": "columns",
            },
            symbols=True,
        ),
        Preset(
            "lossy",
            "images in far fewer bits still, at a quality chosen when they are compressed",
            "Weinberger et al. 2000; Ballé et al. 2017",
            {"network": "none", "latent": "none", "likelihood": "quantised"},
        ),
        Preset(
            "imputing",
            "gaps in tables filled: factor analysis, and a network that learns what it misses",
            "Rubin and Thayer 1982; Ivanov et al. 2019",
            {
                "network": {"kind": "factors", "width": 256, "depth": 2},
                "latent": {"kind": "full-gaussian", "size": 32},
                "likelihood": "columns",
                "corruption": {"kind": "mask", "rate": 0.25, "hidden_only": True},
                "objective": {"kind": "iwae", "samples": 5},
            },
        ),
    )
}


def check_preset(preset: str) -> None:
    """Raise `InputError` if there is no such preset; the nearest one is given."""
    if preset not in PRESETS:
        raise unknown("preset", preset, PRESETS)


def choose(preset: str, schema: Schema, settings: Iterable[str] | Mapping[str, Any] = ()) -> Recipe:
    """Make the recipe of a preset for such data, with single choices changed.

    Parameters
    ----------
    preset : str
        A name of `PRESETS`.
    schema : Schema
        Of the data that are modelled: ``auto`` looks at it.
    settings : iterable of str, or mapping
        ``"axis=kind"`` or ``"axis.parameter=value"``; a new kind begins with its own defaults.

    Raises
    ------
    InputError
        If a name is unknown (the nearest one is given), a value has the wrong type, or the parts refuse each other.
    """
    check_preset(preset)
    specs = {axis: as_mapping(spec) for axis, spec in {**PLAIN, **PRESETS[preset].choices}.items()}
    pairs = settings.items() if isinstance(settings, Mapping) else [_split(setting) for setting in settings]
    # Kinds first, so that the order in which settings are given does not matter.
    for name, value in sorted(pairs, key=lambda pair: pair[0].removesuffix(".kind").count(".")):
        axis, *path = name.removesuffix(".kind").split(".")
        if axis not in specs:
            raise unknown("axis", axis, specs)
        specs[axis] = changed(specs[axis], path, value)
    for axis, rule in AUTOMATIC.items():
        if specs[axis]["kind"] == "auto":
            specs[axis] = {**specs[axis], "kind": rule(schema)}
    if specs["gradient"]["kind"] == "auto":
        specs["gradient"]["kind"] = _gradient_for(specs)
    recipe = Recipe.from_spec(specs)
    recipe.check(schema)
    return recipe


def _network_for(schema: Schema) -> str:
    return "conv" if schema.is_image and min(schema.shape[1:]) >= SMALLEST_CONV_SIDE else "mlp"


AUTOMATIC = {"network": _network_for, "likelihood": usual_likelihood}


def _gradient_for(specs: Mapping[str, Mapping[str, Any]]) -> str:
    """Return the first estimator that does not refuse such codes."""
    latent, objective = make("latent", specs["latent"]), make("objective", specs["objective"])
    assert isinstance(latent, Latent)
    assert isinstance(objective, Objective)
    for kind in dict.fromkeys((*USUAL_GRADIENTS, *kinds("gradient"))):
        gradient = make("gradient", kind)
        if not gradient.refuses_pair(latent, objective):  # type: ignore[operator]
            return kind
    raise InputError(f"no gradient estimator serves {latent.kind} codes under objective {objective.kind}")


def _split(setting: str) -> tuple[str, str]:
    name, equals, value = setting.partition("=")
    if not equals:
        raise InputError(
            f"setting {setting!r} has no value; write axis=kind or axis.parameter=value, such as latent.size=16"
        )
    return name.strip(), value.strip()
