"""A computation noted once, operation by operation, and then done again without the code and the graph that led to it.

At small batches a training step on a processor takes as long for the ways to its operations, through modules and
torch's record of gradients, as for the operations. Noted, what a step computes is a list of them, backward pass and
optimizer too, and to go through the list is a short loop.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from contextvars import ContextVar
from functools import partial
from operator import itemgetter
from typing import Any, TypeVar

import torch
from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves

Made = TypeVar("Made")
Key = tuple[Any, ...]

ASKING = {torch.Tag.data_dependent_output, torch.Tag.dynamic_output_shape}
SMALL = 1024  # numbers of a tensor whose memory is held while noting


class Asked(RuntimeError):
    """What is noted hangs on what a tensor holds, so that it need not be the same another time."""


class Program:
    """Operations in their order, over places that hold what they take and give.

    Tensors that were there before stay where they are: they are read and written in place. Those that operations make
    are made anew each time, and let go where the last one has met them.

    Parameters
    ----------
    given : sequence of Tensor
        What is another each time, of equal shape.
    """

    def __init__(self, given: Sequence[Tensor]) -> None:
        self._values: list[Any] = []
        self._lines: list[tuple[Callable[..., Any], list[Any], Any]] = []
        self._program: list[tuple[Callable[..., Any], Callable[[list[Any]], Sequence[Any]], Any, list[int]]] = []
        self._outs: list[int] = []
        self._passing: list[int] = []
        self._homes: dict[Key, int] = {}
        self._keys: dict[int, list[Key]] = {}  # of each piece of memory
        self._held: list[Tensor] = []
        self._fixed: set[int] = set()
        self._given = [self._home(tensor) for tensor in given]

    def note(
        self, operation: Callable[..., Any], arguments: Sequence[Any], options: Mapping[str, Any], made: Any
    ) -> None:
        """Note what was done, with what, and what came of it: a tensor, several, or nothing."""
        given = {_memory(tensor) for tensor in _tensors((arguments, options))}
        takes = [self._place(argument) for argument in arguments]
        moving = {name: self._place(value) for name, value in options.items() if _tensors(value)}
        still = {name: value for name, value in options.items() if name not in moving}
        outs = _tensors(made)
        views = all(_memory(tensor) in given for tensor in outs)
        if views and outs and not _writes(operation):
            if all(_key(tensor) in self._homes for tensor in outs):
                return
            if self._fixed.issuperset(_flat([*takes, *moving.values()])):
                for tensor in outs:
                    self._fixed.add(self._home(tensor, tensor.detach()))
                return
        gives = self._given_places(made, given)
        operation = getattr(operation, "_op", operation)  # what an operation of torch's calls
        if moving:
            operation = partial(_with_options, operation, len(takes), tuple(moving), still)
        elif still:
            operation = partial(operation, **still)
        self._lines.append((operation, [*takes, *moving.values()], gives))

    def finish(self, outs: Iterable[Tensor]) -> None:
        """End the notes: these tensors are what is asked for."""
        self._outs = [self._single(tensor) for tensor in outs]
        last: dict[int, int] = {}
        made = {place for _, _, gives in self._lines for place in _flat([gives])}
        for line, (_, takes, gives) in enumerate(self._lines):
            last |= dict.fromkeys(made.intersection(_flat([*takes, gives])), line)
        dropped: list[list[int]] = [[] for _ in self._lines]
        for place, line in last.items():
            if place not in self._outs and place not in self._fixed:
                dropped[line].append(place)
        self._program = [
            (operation, _taker(takes), gives, drops)
            for (operation, takes, gives), drops in zip(self._lines, dropped, strict=True)
        ]
        for place in made - self._fixed:
            self._values[place] = None
        self._passing = [place for place in (*self._given, *self._outs) if place not in self._fixed]
        self._homes, self._keys, self._held, self._lines = {}, {}, [], []

    @torch.inference_mode()
    def run(self, given: Sequence[Tensor]) -> list[Tensor]:
        """Do it again on other tensors; return what is asked for."""
        values = self._values
        for place, tensor in zip(self._given, given, strict=True):
            values[place] = tensor
        for operation, taken, gives, drops in self._program:
            made = operation(*taken(values))
            if gives.__class__ is int:
                values[gives] = made
            elif gives is not None:
                for place, one in zip(gives, made, strict=True):
                    values[place] = one
            for place in drops:
                values[place] = None
        found = [values[place] for place in self._outs]
        for place in self._passing:
            values[place] = None
        return found

    def _given_places(self, made: Any, given: set[int]) -> int | list[int] | None:
        """Places of what an operation made; memory that is new bears no tensor noted before."""
        for tensor in _tensors(made):
            if _memory(tensor) not in given:
                for key in self._keys.pop(_memory(tensor), []):
                    self._homes.pop(key, None)
        if made is None:
            return None
        return [self._made(one) for one in made] if isinstance(made, list | tuple) else self._made(made)

    def _made(self, value: Any) -> int:
        """Place of what an operation made; that of a tensor already there where it was written into."""
        if not isinstance(value, Tensor):
            return self._new(None)
        known = self._homes.get(_key(value)) if value.numel() else None
        return self._home(value) if known is None else known

    def _place(self, value: Any) -> int | list[int]:
        """Place of an argument; a list of tensors is a list of places."""
        if isinstance(value, list | tuple) and _tensors(value):
            return [self._single(one) for one in value]
        return self._single(value)

    def _single(self, value: Any) -> int:
        if isinstance(value, Tensor) and value.numel():
            known = self._homes.get(_key(value))
            if known is not None:
                return known
            if value.dim() and self._keys.get(_memory(value)) and not self._is_old(value):
                raise Asked("a tensor was made where it cannot be seen")
            place = self._home(value, value)
        else:
            place = self._new(value)
        self._fixed.add(place)
        return place

    def _is_old(self, value: Tensor) -> bool:
        """Whether a tensor lies in memory that was there before."""
        return all(self._homes[key] in self._fixed for key in self._keys[_memory(value)])

    def _home(self, tensor: Tensor, value: Tensor | None = None) -> int:
        """Give a tensor a place of its own."""
        if not tensor.numel():
            return self._new(value)
        self._homes[_key(tensor)] = place = self._new(value)
        self._keys.setdefault(_memory(tensor), []).append(_key(tensor))
        # What torch makes unseen, such as a number as a tensor, must not come to lie where a small one did.
        if tensor.numel() <= SMALL:
            self._held.append(tensor.detach())
        return place

    def _new(self, value: Any) -> int:
        self._values.append(value)
        return len(self._values) - 1


class Noting(TorchDispatchMode):
    """Within the block what torch computes goes into a program; what hangs on a tensor's numbers raises `Asked`."""

    def __init__(self, program: Program) -> None:
        super().__init__()
        self._program = program
        self._paused = False

    @classmethod
    def _should_skip_dynamo(cls) -> bool:
        """Torch would load its compiler to be skipped by it: 66 MiB, and a second."""
        return False

    def __enter__(self) -> Noting:
        self._token = _NOTING.set(self)
        return super().__enter__()

    def __exit__(self, *raised: Any) -> None:
        super().__exit__(*raised)
        _NOTING.reset(self._token)

    def __torch_dispatch__(self, operation: Any, _: Any, arguments: Any = (), options: Any = None) -> Any:
        options = options or {}
        if not self._paused and _asks(operation, arguments):
            raise Asked(f"{operation} hangs on what a tensor holds")
        made = operation(*arguments, **options)
        if not self._paused:
            self._program.note(operation, arguments, options, made)
        return made

    def as_one(self, function: Callable[..., Made], tensors: Sequence[Tensor]) -> Made:
        """Note a function of tensors as one operation."""
        self._paused = True
        try:
            made = function(*tensors)
        finally:
            self._paused = False
        self._program.note(function, tensors, {}, made)
        return made


_NOTING: ContextVar[Noting | None] = ContextVar("noting", default=None)


def as_one(function: Callable[..., Made], *tensors: Tensor) -> Made:
    """Call a function that makes new tensors of others, without a gradient; noted it is one operation.

    So it may look at what the tensors hold: it does so each time.
    """
    noting = _NOTING.get()
    return function(*tensors) if noting is None else noting.as_one(function, tensors)


def asked() -> None:
    """Raise `Asked` where what follows would be noted: it hangs on what tensors hold in a way that cannot be seen."""
    if _NOTING.get() is not None:
        raise Asked("a step looks at what a tensor holds")


def _with_options(
    operation: Callable[..., Any], count: int, names: Sequence[str], still: Mapping[str, Any], *given: Any
) -> Any:
    return operation(*given[:count], **still, **dict(zip(names, given[count:], strict=True)))


def _taker(takes: Sequence[Any]) -> Callable[[list[Any]], Sequence[Any]]:
    """What takes the values at places, and lists of them at lists of places."""
    if len(takes) > 1 and all(isinstance(place, int) for place in takes):
        return itemgetter(*takes)
    return lambda values: [values[t] if isinstance(t, int) else [values[one] for one in t] for t in takes]


def _asks(operation: Any, arguments: Any) -> bool:
    """Whether a result hangs on a tensor's numbers, in kind or shape; rows at numbered places do not."""
    if operation is torch.ops.aten.index.Tensor:
        return any(places.dtype in (torch.bool, torch.uint8) for places in _tensors(arguments[1]))
    return not ASKING.isdisjoint(operation.tags)


def _writes(operation: Any) -> bool:
    schema = getattr(operation, "_schema", None)
    return schema is not None and schema.is_mutable


def _tensors(tree: Any) -> list[Tensor]:
    return [leaf for leaf in tree_leaves(tree) if isinstance(leaf, Tensor)]


def _memory(tensor: Tensor) -> int:
    return tensor.untyped_storage().data_ptr()


def _key(tensor: Tensor) -> Key:
    return _memory(tensor), tensor.storage_offset(), tuple(tensor.shape), tensor.stride(), tensor.dtype


def _flat(places: Iterable[Any]) -> list[int]:
    """Places and lists of places, one after the other."""
    return [one for place in places if place is not None for one in (place if isinstance(place, list) else [place])]
