"""Codes that begin with the class of their example, which labels tell in training."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor, nn
from torch.distributions import Distribution

from narrows.axes import ACTIVE_VARIANCE, Latent
from narrows.distributions import Chain, DiagonalNormal, OneHot, Point, StandardNormal, one_hot
from narrows.errors import InputError, at_least, unknown


class Conditional(Latent, kind="conditional"):
    """A class y and gaussian numbers z for all else: the codes of a class-conditional autoencoder.

    p(y, z) = p(y) N(z; 0, I), where p(y) is how often each class occurs in the training rows (Kingma et al. 2014, their
    model M2). The decoder gets y, one number a class of which one is 1, beside z, so that z need not say it. The
    encoder gives q(y | x) and q(z | x, y) = N(mu(x) + a_y, sigma(x, y)^2), in which the class shifts what the example
    tells.

    In training y is known: the cost is -log p(x | y, z) + KL(q(z | x, y) || N(0, I)) - ln q(y | x), a bound on
    -log p(x | y), and what the encoder lacks to tell the class by itself. In use no labels are asked for: y is drawn
    from q(y | x), KL(q(y | x) || p(y)) joins the divergence, and the elbo bounds log p(x) like any other's. The code
    that stands for an example is its likeliest class and the mean of z in it.

    Parameters
    ----------
    size : int
        Numbers in one code, those of the class among them: as many as there are classes, and one more at least.
    labels : tuple of str
        Names of the classes; training takes them from the labels of its rows.
    """

    random = True
    learned = True
    jumps = True
    conditional = True
    remedy = "set objective.warm_up=0.3, or take a smaller latent.size: as many numbers as classes, and a few more"

    log_weights: Tensor

    def __init__(self, size: int = 32, labels: tuple[str, ...] = ()) -> None:
        super().__init__()
        at_least("latent.size, of classes that labels tell and of all else,", size, len(labels) + 1)
        self.size = size
        self.labels = labels

    @property
    def sizes(self) -> list[int]:
        """Numbers of y and of z."""
        return [len(self.labels), self.size - len(self.labels)]

    @property
    def n_params(self) -> int:
        """Logits of the classes; mean and scale of each number of z."""
        classes, others = self.sizes
        return classes + 2 * others

    def build(self, seen_shape: tuple[int, ...]) -> None:
        """Make the shifts a_y, at first none, and p(y), at first even."""
        if len(self.labels) < 2:
            raise InputError(
                f"latent conditional learns from labels of two or more classes, and there {self._few}; name a column "
                f"of labels by --label, or give them to fit as y, or take latent=gaussian"
            )
        classes, others = self.sizes
        self.shifts = nn.Parameter(torch.zeros(classes, 2 * others))
        self.register_buffer("log_weights", torch.zeros(classes))

    def of(self, classes: tuple[str, ...]) -> Conditional:
        """Return such a latent for these classes."""
        return self.fresh(labels=classes)

    def weigh(self, condition: Tensor) -> None:
        """Take p(y) from the class (n,) of each training row."""
        counts = torch.bincount(condition, minlength=len(self.labels))
        self.log_weights.copy_((counts / len(condition)).log())

    def posterior(self, h: Tensor) -> Distribution:
        """q(y, z | x) from h (n, n_params)."""
        classes, others = self.sizes
        logits, numbers = h.split([classes, 2 * others], -1)
        return Chain(
            OneHot(logits),
            [lambda y: DiagonalNormal.of(numbers + y @ self.shifts)],
            self.sizes,
        )

    def prior(self, n: int, device: torch.device) -> Distribution:
        """p(y, z), repeated for n examples."""
        return self._under(OneHot(self.log_weights.expand(n, -1)), n, device)

    def known(self, q: Distribution, prior: Distribution, condition: Tensor) -> tuple[Distribution, Distribution]:
        """Return q(y, z | x) with all mass at the class that is known, and p with q(y | x) in the place of p(y).

        So the divergence of y is -ln q(y | x), and no draw of it is asked for a gradient.
        """
        assert isinstance(q, Chain)
        assert isinstance(prior, Chain)
        return Chain(self._certain(condition), q.below, self.sizes), Chain(q.top, prior.below, self.sizes)

    def source(
        self, encode: Callable[[Tensor], Distribution], n: int, device: torch.device, label: str | None = None
    ) -> Distribution:
        """Return p(y, z) for n examples, or p(z) beside the class of one label."""
        if label is None:
            return self.prior(n, device)
        if label not in self.labels:
            raise unknown("label", label, self.labels)
        return self._under(self._certain(torch.full((n,), self.labels.index(label), device=device)), n, device)

    def code(self, posterior: Distribution) -> Tensor:
        """Likeliest class and the mean of z in it, (n, size)."""
        assert isinstance(posterior, Chain)
        y = posterior.top.mode
        return torch.cat([y, posterior.below[0](y).mean], -1)

    def used(self, codes: Tensor) -> Tensor:
        """Whether each unit is in use: those of the class are, all of them, where it is not the same everywhere."""
        y, z = codes.split(self.sizes, -1)
        differs = (y.var(0) > 0).any()
        return torch.cat([differs.expand(y.shape[1]), z.var(0) > ACTIVE_VARIANCE])

    @property
    def _few(self) -> str:
        return f"is but one, {self.labels[0]!r}" if self.labels else "are none"

    def _under(self, top: Distribution, n: int, device: torch.device) -> Chain:
        """Such classes, and z of N(0, I) whatever they are."""
        below = StandardNormal(n, self.sizes[1], device)
        return Chain(top, [lambda y: below], self.sizes)

    def _certain(self, condition: Tensor) -> Point:
        """All mass at one class an example."""
        y = one_hot(condition, len(self.labels), self.log_weights.dtype)
        return Point(y, y.new_zeros(len(y)))
