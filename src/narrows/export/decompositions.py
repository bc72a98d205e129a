"""Operations that ONNX, or onnxruntime in float64, has no word for, told in ones that they have."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from typing import Any

import torch
from torch import Tensor

SHIFT = 8  # from so many on the series of Stirling is exact to 1e-12
STIRLING = (1 / 12, -1 / 360, 1 / 1260, -1 / 1680, 1 / 1188)


def searchsorted(knots: Tensor, values: Tensor, *, right: bool = False, out_int32: bool = False, **_: Any) -> Tensor:
    """`torch.searchsorted` of knots (..., k) and values (..., n), or of (k,) and any values, by bisection.

    The place is the number of knots below the value, with ``right`` of those not above it. Each of log2(k) rounds takes
    one knot a value.
    """
    k = knots.shape[-1]
    lined = values.reshape(-1) if knots.dim() == 1 else values
    place = torch.zeros_like(lined, dtype=torch.int64)
    for power in reversed(range(k.bit_length())):
        tried = place + (1 << power)
        knot = knots.gather(-1, (tried - 1).clamp_max(k - 1))
        passed = knot <= lined if right else knot < lined
        place = torch.where(passed & (tried <= k), tried, place)
    return place.reshape(values.shape).to(torch.int32 if out_int32 else torch.int64)


def softplus(x: Tensor, beta: float = 1.0, threshold: float = 20.0) -> Tensor:
    """ln(1 + exp(beta x)) / beta, without overflow; the threshold changes less than the rounding does."""
    y = beta * x
    return (y.clamp_min(0.0) + torch.log1p(torch.exp(-y.abs()))) / beta


def hypot(a: Tensor, b: Tensor) -> Tensor:
    """sqrt(a^2 + b^2), without overflow."""
    large, small = torch.maximum(a.abs(), b.abs()), torch.minimum(a.abs(), b.abs())
    share = torch.where(large > 0, small / large, 0.0)
    return large * torch.sqrt(1 + share * share)


def copysign(size: Tensor, sign: Tensor) -> Tensor:
    """``size`` with the sign of ``sign``; that of a zero does not count."""
    return torch.where(sign < 0, -size.abs(), size.abs())


def log1p(x: Tensor) -> Tensor:
    """ln(1 + x), in float64, so that little is lost of a small x."""
    return (1 + x.double()).log().to(x.dtype)


def expm1(x: Tensor) -> Tensor:
    """exp(x) - 1, in float64, so that little is lost of a small x."""
    return (x.double().exp() - 1).to(x.dtype)


def log_sigmoid(x: Tensor) -> Tensor:
    """-ln(1 + exp(-x)), of which no x is too small."""
    return -softplus(-x)


def silu(x: Tensor) -> Tensor:
    """X sigmoid(x), in float64: in float32 onnxruntime takes a polynomial of fewer digits."""
    y = x.double()
    return (y / (1 + (-y).exp())).to(x.dtype)


def tanh(x: Tensor) -> Tensor:
    """The hyperbolic tangent, in float64, as above."""
    return x.double().tanh().to(x.dtype) if x.dtype == torch.float32 else NotImplemented


def addmm(added: Tensor, a: Tensor, b: Tensor) -> Tensor:
    """``added`` + a b, its sums in float64."""
    return (added.double() + a.double() @ b.double()).to(added.dtype)


def addcmul(added: Tensor, a: Tensor, b: Tensor, *, value: float = 1.0) -> Tensor:
    """``added`` + a b, rounded once as the processor does it, in float32: a copy of a training row must stay one."""
    exact = added.double() + value * a.double() * b.double()
    return exact.to(added.dtype)


def lgamma(x: Tensor) -> Tensor:
    """ln Gamma(x) for x > 0, in float64: Stirling's series at x + 8, and the recurrence back."""
    low = x.double()
    y = low + SHIFT
    series = sum(term / y ** (2 * place + 1) for place, term in enumerate(STIRLING))
    back = torch.stack([low + place for place in range(SHIFT)]).log().sum(0)
    return ((y - 0.5) * y.log() - y + 0.5 * math.log(2 * math.pi) + series - back).to(x.dtype)


_aten = torch.ops.aten
DECOMPOSITIONS: Mapping[Any, Callable[..., Any]] = {
    _aten.searchsorted.Tensor: searchsorted,
    _aten.softplus.default: softplus,
    _aten.hypot.default: hypot,
    _aten.copysign.Tensor: copysign,
    _aten.log1p.default: log1p,
    _aten.expm1.default: expm1,
    _aten.log_sigmoid.default: log_sigmoid,
    _aten.log_sigmoid_forward.default: lambda x: (log_sigmoid(x), x.new_zeros(0)),
    _aten.addcmul.default: addcmul,
    _aten.lgamma.default: lgamma,
}
# Of graphs of rows, in which networks are small and errors in the seventh digit are stretched by what follows.
OF_ROWS: Mapping[Any, Callable[..., Tensor]] = {
    _aten.silu.default: silu,
    _aten.tanh.default: tanh,
    _aten.addmm.default: addmm,
    _aten.baddbmm.default: addmm,
}
