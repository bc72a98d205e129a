"""One model from six parts: encode, draw, decode, score."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from functools import cache
from typing import Any, Self

import torch
from torch import Tensor, nn
from torch.distributions import Distribution

from narrows import corruptions, gradients, latents, likelihoods, networks, objectives
from narrows.axes import Corruption, Gradient, Latent, Likelihood, Network, Objective
from narrows.data.schema import Schema
from narrows.data.transforms import transform_for
from narrows.errors import InputError
from narrows.noise import Noise
from narrows.parts import Part, make
from narrows.plan import Binarize
from narrows.sampling import sample
from narrows.values import Batch, Clock, Labelled, Scores, Terms, apart

REVIVAL = 1 / 32  # weight of what dead units would tell (Gao et al. 2024, appendix A.2)
# Importing a module of parts enters its kinds in the registry.
AXIS_MODULES = (networks, latents, likelihoods, corruptions, objectives, gradients)


@dataclass(frozen=True)
class Recipe:
    """A choice on each of the six axes: everything that tells one autoencoder from another."""

    network: Network
    latent: Latent
    likelihood: Likelihood
    corruption: Corruption
    objective: Objective
    gradient: Gradient

    @classmethod
    def from_spec(cls, spec: Mapping[str, Any]) -> Self:
        """Make the parts from ``{axis: specification}``; see `narrows.parts.make`."""
        parts: dict[str, Any] = {field.name: make(field.name, spec[field.name]) for field in dataclasses.fields(cls)}
        return cls(**parts)

    def spec(self) -> dict[str, Any]:
        """The inverse of `from_spec`, in plain JSON values."""
        return {name: part.spec() for name, part in self.parts().items()}

    def parts(self) -> dict[str, Part]:
        """The parts by axis."""
        return {field.name: getattr(self, field.name) for field in dataclasses.fields(self)}

    def fresh(self) -> Recipe:
        """Return untrained copies of the parts."""
        parts: dict[str, Any] = {name: part.fresh() for name, part in self.parts().items()}
        return Recipe(**parts)

    def refusals(self, schema: Schema) -> Iterator[str]:
        """Sentences that say which parts do not go together, or not with such data, each with a way out."""
        # The likelihood first: where it does not score such data, what the other parts say of them helps nobody.
        parts = sorted(self.parts().values(), key=lambda part: part is not self.likelihood)
        sentences = [part.refuses(schema) for part in parts]
        sentences.append(self.network.refuses_latent(self.latent))
        sentences.append(self.network.refuses_likelihood(self.likelihood))
        sentences.append(self.likelihood.refuses_latent(self.latent))
        sentences.append(self.corruption.refuses_latent(self.latent))
        sentences.append(self.corruption.refuses_likelihood(self.likelihood))
        sentences.append(self.objective.refuses_latent(self.latent))
        sentences.append(self.gradient.refuses_pair(self.latent, self.objective))
        return (sentence for sentence in sentences if sentence)

    def check(self, schema: Schema) -> None:
        """Raise `InputError` with the first refusal, if there is one."""
        for sentence in self.refusals(schema):
            raise InputError(sentence)


class Model(nn.Module):
    """An autoencoder: transform, network, latent and likelihood with their weights, and how it is trained.

    Parameters
    ----------
    recipe : Recipe
        The parts. Fresh copies of them are built; the ones given are left alone.
    schema : Schema
        Of the raw data.
    binarize : {"none", "threshold", "draw"}
        Whether the data are made binary first; see `Transform`.
    seed : int
        Of the initial weights.

    Raises
    ------
    InputError
        If the parts do not go together or not with such data; the sentence names a way out.
    """

    def __init__(self, recipe: Recipe, schema: Schema, *, binarize: Binarize = "none", seed: int = 0) -> None:
        super().__init__()
        # torch's layers draw their first weights from its global generator: seed it, and put it back.
        with torch.random.fork_rng(devices=[]):
            # That of the processor alone: torch.manual_seed notes a call for each kind of accelerator, with its stack.
            torch.default_generator.manual_seed(seed)
            recipe = recipe.fresh()
            self.transform = transform_for(schema, grid=recipe.likelihood.grid, binarize=binarize)
            recipe.check(self.transform.modelled)
            self.network = recipe.network
            self.latent = recipe.latent
            self.likelihood = recipe.likelihood
            self.objective = recipe.objective
            self.gradient = recipe.gradient
            self.likelihood.build(self.transform.modelled)
            self.param_shape = self.likelihood.param_shape(self.transform.modelled)
            outputs = math.prod(self.param_shape)
            self.network.build(self.transform.seen_shape, self.latent.n_params, self.latent.size, outputs)
            self.network.zeros_learn = self.latent.zeros_learn
            self.latent.build(self.transform.seen_shape)
            self.gradient.build(self.transform.seen_shape)
        self.recipe = recipe
        self.matrix_dtype: torch.dtype | None = None

    @property
    def schema(self) -> Schema:
        """The schema of the raw data."""
        return self.transform.schema

    @property
    def device(self) -> torch.device:
        """Where the weights are."""
        return self.transform.scale.device

    def paced(self) -> list[tuple[list[nn.Parameter], float]]:
        """Return the parameters in groups, each with its pace; see `Network` and `Likelihood`."""
        groups: dict[float, list[nn.Parameter]] = {}
        paces = ((self.network, self.network.pace), (self.latent, 1.0), (self.gradient, 1.0))
        for part, pace in (*paces, (self.likelihood, self.likelihood.pace)):
            groups.setdefault(pace, []).extend(part.parameters())
        return [(group, pace) for pace, group in groups.items() if group]

    def adapt(self, values: Tensor | Iterable[Tensor]) -> None:
        """Fit the transform to raw training rows (n, x), whole or in chunks; tell the likelihood how fine they are."""
        self.transform.fit(values)
        self.likelihood.calibrate(self.transform.resolution)

    @torch.no_grad()
    def start(self, raw: Callable[[], Tensor]) -> None:
        """Let network and latent take their first weights from raw training rows (n, x), where they have such.

        ``raw`` makes the rows, as many as most models never ask for.
        """
        batch = cache(lambda: self.batch(raw(), Noise(0, self.device)))
        self.latent.start(lambda: batch().seen)
        left = self.network.start(batch, self.likelihood.targets)
        if left is not None:
            self.likelihood.start(left.view(self.param_shape))

    def batch(self, raw: Tensor, noise: Noise | None = None) -> Batch:
        """Raw rows -> the clean batch; ``noise`` is drawn from where values are binarised by a draw."""
        batch: Batch = self.transform(raw, noise)
        return dataclasses.replace(batch, fills=True) if self.network.around else batch

    def _taught(self, raw: Tensor | Labelled, noise: Noise) -> Batch:
        """Raw rows of training, or pairs of them -> the batch; of pairs, what is seen is the second's."""
        raw, condition = apart(raw)
        if condition is None and self.latent.conditional:
            raise InputError(
                f"latent {self.latent.kind} learns from rows with labels, and these have none; give a label for each "
                f"row, or take latent=gaussian"
            )
        rows, *own = raw.split(self.schema.shape[0], 1) if self.recipe.corruption.own else (raw,)
        batch = self.batch(rows, noise)
        if condition is not None:
            batch = dataclasses.replace(batch, condition=condition)
        return dataclasses.replace(batch, seen=self.batch(own[0], noise).seen) if own else batch

    def posterior(self, seen: Tensor) -> Distribution:
        """q(z | x) for standardised input (n, x)."""
        with self._matrices():
            h = self.network.encode(seen)
        return self.latent.posterior(h if self.latent.narrow else h.to(seen.dtype))

    def prior(self, n: int) -> Distribution:
        """p(z), repeated for n examples."""
        return self.latent.prior_given(self.posterior, n, self.device)

    def source(self, n: int, label: str | None = None) -> Distribution:
        """Return what n new codes are drawn from: p(z), or what a deterministic code has in its place; see `Latent`."""
        return self.latent.source(self.posterior, n, self.device, label)

    def decode(self, z: Tensor) -> Distribution:
        """Codes (k, n, ...) -> p(x | z), batch (k, n), in the likelihood's unit."""
        p: Distribution = self.likelihood(self._params(z))
        return p

    def _params(self, z: Tensor) -> Tensor:
        """Codes (k, n, ...) -> parameters of the likelihood, (k, n, *param_shape)."""
        with self._matrices():
            params = self.network.decode(z.flatten(0, 1).flatten(1)).to(self.transform.scale.dtype)
        return params.view(*z.shape[:2], *self.param_shape)

    def terms(
        self, batch: Batch, k: int, noise: Noise, clock: Clock | None = None, *, estimated: bool = False
    ) -> Terms:
        """Encode, draw k codes, decode and score, or estimate the score.

        In training codes are drawn by the rule of the gradient estimator, otherwise from q(z | x) itself.
        """
        prior = self.prior(batch.seen.shape[0])
        told = batch.seen
        # A code that is not drawn has no spread to compare, and would only repeat what it is told.
        if batch.whole is not None and self.latent.random:
            prior, told = self.posterior(batch.seen), batch.whole
        if self.training:
            self.latent.see(clock or _END)
        q = self.posterior(told)
        if batch.condition is not None:
            q, prior = self.latent.known(q, prior, batch.condition)
        z, scoring = self.gradient.draw(q, k, noise, clock or _END) if self.training else (sample(q, k, noise), q)
        return Terms(self._scored(z, batch, noise, estimated=estimated), z, scoring, prior, told)

    def _scored(self, z: Tensor, batch: Batch, noise: Noise, *, estimated: bool) -> Tensor:
        """log p(x | z) of codes (k, n, ...), or its estimate: (k, n)."""
        return self._scored_by(self.decode(z), batch, noise, estimated=estimated)

    def _scored_by(self, p: Distribution, batch: Batch, noise: Noise, *, estimated: bool) -> Tensor:
        """log p(x) under a distribution, or its estimate: (k, n)."""
        if estimated:
            p = self.likelihood.estimated(p, noise)
        with self._matrices() if self.likelihood.matrices else nullcontext():
            score = self.recipe.corruption.score
            return score(p, batch, self._again, noise) if estimated else p.log_prob(batch.x)

    def _told_besides(self, lit: Tensor, z: Tensor, batch: Batch, noise: Noise) -> Tensor:
        """log p(x | lit) of codes (n, ...), (1, n), whose gradient is of what they tell beside z alone.

        What z tells is a constant, so that the units of z, which have it right by themselves, are not moved.
        """
        held = self._params(z.detach()[None])
        params = held.detach() + self._params(lit[None]) - held
        # There is no second look at what was never seen.
        single = self.recipe.corruption.differences
        return self._scored_by(self.likelihood(params), batch, noise, estimated=not single)

    def _again(self, seen: Tensor) -> Distribution:
        """p(x | z) of what else might be seen (n, x), for codes that are not drawn: batch (1, n)."""
        return self.decode(self.posterior(seen).mean[None])

    def loss(self, raw: Tensor | Labelled, noise: Noise, clock: Clock) -> tuple[Tensor, Scores]:
        """One training step's surrogate, and the scores that are reported.

        Parameters
        ----------
        raw : Tensor, shape (n, x), or Labelled
            Raw rows, or pairs of them, (n, 2 x[0], ...), of which the second halves are seen; with their classes where
            the latent knows classes.
        noise : Noise
            For what is drawn.
        clock : Clock
            How far training has come.

        Returns
        -------
        surrogate : Tensor, shape ()
            Its gradient is the estimate; its value means nothing.
        scores : Scores
            Of each example, with every schedule at its end, detached.
        """
        objective = self.objective
        batch = self.recipe.corruption(self._taught(raw, noise), noise)
        terms = self.terms(batch, objective.samples, noise, clock, estimated=True)
        cost = objective.cost(terms, clock)
        surrogate = self.gradient.surrogate(cost, terms, objective, clock)
        revived = self.latent.revived(terms.posterior)
        if revived is not None:
            surrogate = surrogate - REVIVAL * self._told_besides(revived, terms.posterior.mean, batch, noise).mean()
        with torch.no_grad():
            nats = objective.reported(cost.detach(), terms)
            if self.training:
                objective.follow(terms)
            return surrogate, Scores(nats.detach(), terms.log_px.detach(), terms.kl.detach())

    def _matrices(self) -> AbstractContextManager[Any]:
        """Products of the network in ``matrix_dtype`` while training; latents and likelihoods stay in float32."""
        if self.matrix_dtype is None or not self.training:
            return nullcontext()
        return torch.autocast(self.device.type, dtype=self.matrix_dtype)


_END = Clock.at_end()


def parameters_in(model: nn.Module) -> int:
    """Count the trained numbers of a model."""
    return sum(parameter.numel() for parameter in model.parameters())
