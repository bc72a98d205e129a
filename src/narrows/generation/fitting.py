"""A prior fitted to the codes of a trained model: the same network, other draws."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor
from torch.distributions import Distribution

from narrows.data.classes import FEWEST_ROWS, classes_of
from narrows.distributions import DiagonalNormal, FullNormal
from narrows.errors import InputError, at_least, unknown
from narrows.generation.densities import Parts, batches_of, fit_flow, fit_parts, scale_of
from narrows.inference import clean_input, in_chunks
from narrows.latents import Flow, Mixture
from narrows.latents.priors import Prior
from narrows.model import Model
from narrows.noise import Noise
from narrows.persist import Fitted
from narrows.sampling import sample

HELD_OUT = 0.1
FITTED_CODES = 20_000  # of fewer rows more codes are drawn from each posterior, of more rows some are left out
MOST_DRAWS = 10
AGGREGATE_PARTS = 1000
FLOW_BATCH = 512
FLOW = Flow(layers=8, width=128)


@dataclass(frozen=True)
class FittedPrior:
    """A model whose prior was fitted after training.

    Parameters
    ----------
    fitted : Fitted
        The model; its record says how.
    held_out_nats, before_nats : float or None
        Mean log p(z) of codes of rows that were held out, under the new prior and the one before; None where there was
        none.
    """

    fitted: Fitted
    held_out_nats: float
    before_nats: float | None


@dataclass(frozen=True)
class Codes:
    """What a prior is fitted to.

    Parameters
    ----------
    model : Model
        Whose codes.
    rows : Tensor, shape (n, x)
        Raw training rows.
    drawn, held_out : Tensor, shape (m, d), float64
        Draws of q(z | x), equally many of each training row, side by side, and one of each row held out.
    owner, held_out_owner : Tensor, shape (m,)
        Which class each of them is of; 0 where there are no classes.
    classes : tuple of str
        Names of the classes; none where labels are not asked after.
    components : int
        Parts asked for; 0 where they are to be chosen.
    seed : int
        Of what is drawn.
    """

    model: Model
    rows: Tensor
    drawn: Tensor
    held_out: Tensor
    owner: Tensor
    held_out_owner: Tensor
    classes: tuple[str, ...]
    components: int
    seed: int


def fit_prior(
    fitted: Fitted,
    values: Tensor,
    kind: str = "mixture",
    *,
    labels: np.ndarray | None = None,
    components: int = 0,
    seed: int = 0,
) -> FittedPrior:
    """Fit a prior to the codes of training rows, and put it in the place of the model's.

    The prior that is best for a bound, and whose draws decode as codes do, is the mean of all posteriors (Tomczak and
    Welling 2018); a network trained under N(0, I) reaches it only nearly, and a code without a divergence not at all.
    What is fitted is a density of it; a tenth of the rows, chosen by the seed, is held out to choose by.

    Parameters
    ----------
    fitted : Fitted
        A model of gaussian or of plain codes. It is left as it is.
    values : Tensor, shape (n, x)
        Raw rows it was trained on.
    kind : {"mixture", "flow", "aggregate"}
        A gaussian mixture of parts as many as held-out codes like best; a coupling flow; or the mean of the posteriors
        of some training rows, as they are.
    labels : array, shape (n,), optional
        The class of each row: parts of a mixture are then fitted class by class.
    components : int
        Parts of a mixture, or rows of an aggregate; 0 for those chosen, or 1,000.
    seed : int
        Of all draws.

    Raises
    ------
    InputError
        If such codes have no such prior, rows are too few, or a row has no label.
    """
    if kind not in FITTERS:
        raise unknown("prior", kind, FITTERS)
    at_least("components", components, 0)
    fitted.model.latent.under(FLOW.fresh())  # refuses, where the prior cannot be chosen
    at_least("rows", len(values), FEWEST_ROWS)
    codes = _codes_of(fitted.model.eval(), values, labels, components, seed)
    prior = FITTERS[kind](codes)
    model = _with_prior(fitted.model, prior)
    told = {
        "kind": kind,
        **{name: value for name, value in prior.get_params().items() if name != "classes"},
        "classes": len(codes.classes),
        "rows": len(values),
        "held_out": len(codes.held_out),
        "seed": seed,
    }
    after = _nats(model.source, codes.held_out)
    before = _nats(fitted.model.source, codes.held_out) if fitted.model.latent.bounds else None
    record = {**fitted.record, "prior": {**told, "held_out_nats": after, "before_nats": before}}
    return FittedPrior(dataclasses.replace(fitted, model=model, record=record), after, before)


def _codes_of(model: Model, values: Tensor, labels: np.ndarray | None, components: int, seed: int) -> Codes:
    classes, owner = classes_of(labels, len(values), "leave out --by-label")
    generator = torch.Generator().manual_seed(seed)
    order = torch.randperm(len(values), generator=generator)
    apart = int(HELD_OUT * len(values))
    held_out, chosen = order[:apart], order[apart:][:FITTED_CODES]
    draws = min(MOST_DRAWS, max(1, FITTED_CODES // len(chosen))) if model.latent.random else 1
    noise = Noise(seed, model.device)

    def drawn(rows: Tensor, k: int) -> Tensor:
        def draw(raw: Tensor) -> Tensor:
            return sample(model.posterior(clean_input(model, raw)), k, noise).transpose(0, 1)

        return in_chunks(model, rows, draw, k).flatten(0, 1).double()

    return Codes(
        model=model,
        rows=values[chosen],
        drawn=drawn(values[chosen], draws),
        held_out=drawn(values[held_out], 1),
        owner=owner[chosen].repeat_interleave(draws),
        held_out_owner=owner[held_out],
        classes=classes,
        components=components,
        seed=seed,
    )


def _mixture_of(codes: Codes) -> Prior:
    """The mixture, of parts with independent numbers or not, that held-out codes like better."""
    found = [_joined(codes, full) for full in (False, True)]
    nats = [parts.nats(codes.held_out) for parts, _ in found]
    full = nats[1] > nats[0]
    return _holding(codes, *found[full])


def _joined(codes: Codes, full: bool) -> tuple[Parts, Tensor]:
    """Mixtures of the classes side by side, each of the weight of its class, and the class of each part."""
    log_weights, means, spreads, owners = [], [], [], []
    scale = scale_of(codes.drawn)
    for place in range(max(1, len(codes.classes))):
        own = codes.drawn[codes.owner == place]
        if len(own) < FEWEST_ROWS // 2:
            raise InputError(f"{len(own)} of the rows fitted to are of class {codes.classes[place]!r}; give more of it")
        parts = fit_parts(
            own,
            codes.held_out[codes.held_out_owner == place],
            scale,
            full=full,
            components=codes.components,
            seed=codes.seed,
        )
        log_weights.append(parts.log_weights + math.log(len(own) / len(codes.drawn)))
        means.append(parts.normals.loc)
        spreads.append(parts.normals.factor if isinstance(parts.normals, FullNormal) else parts.normals.scale)
        owners.append(torch.full((len(parts.log_weights),), place))
    law = FullNormal if full else DiagonalNormal
    return Parts(torch.cat(log_weights), law(torch.cat(means), torch.cat(spreads))), torch.cat(owners)


def _aggregate_of(codes: Codes) -> Prior:
    """Posteriors of some training rows, side by side."""
    if not codes.model.latent.random:
        raise InputError(
            f"an aggregate of {codes.model.latent.kind} codes, which have no spread, would give nothing but training "
            f"rows; take mixture or flow"
        )
    rows = codes.rows[: codes.components or AGGREGATE_PARTS]
    owner = codes.owner[:: len(codes.drawn) // len(codes.rows)][: len(rows)]
    absent = [name for place, name in enumerate(codes.classes) if place not in owner]
    if absent:
        raise InputError(f"none of the {len(rows)} rows taken is of class {absent[0]!r}; give a larger --components")
    with torch.no_grad():
        normals = codes.model.posterior(clean_input(codes.model, rows.to(codes.model.device)))
    assert isinstance(normals, (DiagonalNormal, FullNormal))
    return _holding(codes, Parts(torch.zeros(len(rows)), normals), owner)


def _flow_of(codes: Codes) -> Prior:
    """A flow, under which held-out codes are likeliest of those that training goes through."""
    if codes.classes:
        raise InputError("--by-label was given, and prior flow knows no classes; take mixture or aggregate")
    flow = FLOW.fresh()
    _build(flow, codes)
    fit_flow(flow, batches_of(codes.drawn.float(), FLOW_BATCH, Noise(codes.seed)), codes.held_out.float())
    return flow


FITTERS: Mapping[str, Callable[[Codes], Prior]] = {
    "mixture": _mixture_of,
    "flow": _flow_of,
    "aggregate": _aggregate_of,
}


def _holding(codes: Codes, parts: Parts, owners: Tensor) -> Mixture:
    prior = Mixture(len(owners), isinstance(parts.normals, FullNormal), codes.classes)
    _build(prior, codes)
    prior.take(parts.log_weights, parts.normals, owners if codes.classes else None)
    return prior


def _build(prior: Prior, codes: Codes) -> None:
    """Make its weights, seeded, without a change to torch's global generator."""
    prior.size = codes.model.latent.size
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(codes.seed)
        prior.build(codes.model.transform.seen_shape)


def _with_prior(model: Model, prior: Prior) -> Model:
    """Return a copy of a model with another prior in its latent."""
    recipe = dataclasses.replace(model.recipe, latent=model.latent.under(prior))
    copy = Model(recipe, model.schema, binarize=model.transform.binarize)
    place = next(name for name, part in copy.named_modules() if isinstance(part, Prior)) + "."
    kept = {name: tensor for name, tensor in model.state_dict().items() if not name.startswith(place)}
    copy.load_state_dict(kept | {place + name: tensor for name, tensor in prior.state_dict().items()})
    return copy.eval()


def _nats(source: Callable[[int], Distribution], codes: Tensor) -> float:
    """Mean log density of codes (n, d) under what new ones are drawn from."""
    with torch.no_grad():
        return float(source(len(codes)).log_prob(codes.float()[None]).double().mean())
