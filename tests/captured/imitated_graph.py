"""A graph of an accelerator on the processor: operations are noted once, and done again on the same memory."""

from contextlib import nullcontext

import torch
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves

ASKS = {torch.Tag.data_dependent_output, torch.Tag.dynamic_output_shape}


def tensors_in(*trees):
    return [leaf for tree in trees for leaf in tree_leaves(tree) if isinstance(leaf, torch.Tensor)]


def asks_host(operation, arguments):
    """Whether its result hangs on what a tensor holds, in number or in shape; rows at numbered places do not."""
    if operation is torch.ops.aten.index.Tensor:
        return any(place.dtype in (torch.bool, torch.uint8) for place in tensors_in(arguments[1]))
    return bool(ASKS & set(operation.tags))


class ImitatedGraph:
    """See `narrows.captured.Graph`: what asks the host is refused, and what was noted is as if it had not been done."""

    def __init__(self, *generators):
        self.generators = generators
        self.noted = []
        self.replays = 0

    def warming(self):
        return nullcontext()

    def capturing(self):
        return Noting(self)

    def replay(self):
        self.replays += 1
        with torch.no_grad():
            for operation, arguments, options, made in self.noted:
                again = tensors_in(operation(*arguments, **options))
                for place, new in zip(made, again, strict=True):
                    if place is not None:
                        place.copy_(new)


class Noting(TorchDispatchMode):
    def __init__(self, graph):
        super().__init__()
        self.graph = graph
        self.made = set()  # where memory is that operations of the capture took
        self.before = {}  # what older memory held before it was written over

    def __enter__(self):
        self.states = [generator.get_state() for generator in self.graph.generators]
        return super().__enter__()

    def __exit__(self, *raised):
        super().__exit__(*raised)
        for memory, held in self.before.values():
            memory.copy_(held)
        for generator, state in zip(self.graph.generators, self.states, strict=True):
            generator.set_state(state)

    def __torch_dispatch__(self, operation, types, arguments=(), options=None):
        options = options or {}
        if asks_host(operation, arguments):
            raise RuntimeError(f"the host asks for what a tensor holds by {operation}")
        given = {tensor.untyped_storage().data_ptr() for tensor in tensors_in(arguments, options)}
        for argument, value in zip(operation._schema.arguments, [*arguments, *options.values()], strict=False):
            if argument.alias_info is not None and argument.alias_info.is_write:
                self._remember(tensors_in(value))
        result = operation(*arguments, **options)
        made = [None if t.untyped_storage().data_ptr() in given else t for t in tensors_in(result)]
        self.made |= {tensor.untyped_storage().data_ptr() for tensor in made if tensor is not None}
        self.graph.noted.append((operation, arguments, options, made))
        return result

    def _remember(self, written):
        for tensor in written:
            memory = tensor.untyped_storage()
            if memory.data_ptr() not in self.made | set(self.before):
                self.before[memory.data_ptr()] = (memory, memory.clone())
