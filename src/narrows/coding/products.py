"""Matrix products that are exact: what may spoil them is switched off, and a machine where they are not is refused."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack, contextmanager

import torch
from torch import Tensor

from narrows.errors import InputError

# The largest whole number below which all are told apart, by the type that holds them.
WHOLE = {torch.float64: 1 << 53, torch.float32: 1 << 24}


@contextmanager
def full_precision() -> Iterator[None]:
    """Within the block, products in float32 are of float32, and nothing keeps what is needed for a gradient.

    TF32, bfloat16 in place of float32, and autocast are off, and afterwards as they were.
    """
    backends = (
        torch.backends.mkldnn.matmul,  # type: ignore[attr-defined]
        torch.backends.mkldnn.conv,  # type: ignore[attr-defined]
        torch.backends.cuda.matmul,
        torch.backends.cudnn.conv,  # type: ignore[attr-defined]
    )
    before = [backend.fp32_precision for backend in backends]
    try:
        for backend in backends:
            backend.fp32_precision = "ieee"
        with ExitStack() as stack:
            for device in ("cpu", "cuda"):
                stack.enter_context(torch.autocast(device, enabled=False))
            stack.enter_context(torch.inference_mode())
            yield
    finally:
        for backend, precision in zip(backends, before, strict=True):
            backend.fp32_precision = precision


def check_exact(device: torch.device | str = "cpu", dtype: torch.dtype = torch.float64) -> None:
    """Multiply matrices whose products are known, and whose partial sums come near to the largest whole number.

    Parameters
    ----------
    device : torch.device or str
        Where networks in whole numbers are to run.
    dtype : torch.dtype
        What holds the whole numbers: float64 or float32.

    Raises
    ------
    InputError
        If a product is not exact, or the device does not have the type.
    """
    try:
        exact = all(_is_exact(device, dtype, inner) for inner in (1, 24, 512))
    except (RuntimeError, TypeError, AssertionError) as error:
        raise InputError(f"device {device} cannot multiply in {dtype} ({_first_line(error)}); take cpu") from None
    if not exact:
        raise InputError(
            f"device {device} does not multiply whole numbers in {dtype} exactly, so what it codes no other machine "
            f"could decode; switch reduced precision off, or take cpu"
        )


def _is_exact(device: torch.device | str, dtype: torch.dtype, inner: int) -> bool:
    """Whether (96, inner) by (inner, 80) comes out right; one and the same formula makes the numbers everywhere."""
    long, short = WHOLE[dtype] // inner >> 2, 4
    left, right = _spread((96, inner), long), _spread((inner, 80), short)
    known = left @ right
    a, b = left.to(device, dtype), right.to(device, dtype)
    # Either side has the long numbers once: a machine may round both, or one.
    products = (a @ b, (b.T @ a.T).T)
    return all(bool((product.cpu().to(torch.int64) == known).all()) for product in products)


def _spread(shape: tuple[int, int], most: int) -> Tensor:
    """Whole numbers from -most to most, as odd as even, the ends among them."""
    numbers = torch.arange(shape[0] * shape[1]) * 7919 % (2 * most + 1) - most
    numbers[:: shape[1]] = most
    return numbers.view(shape)


def _first_line(error: Exception) -> str:
    return str(error).partition("\n")[0][:200]
