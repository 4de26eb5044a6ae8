"""Print a hash of what torch and NumPy operations of the models' sizes give on this processor.

Run:    OMP_NUM_THREADS=1 python scripts/probe_bits.py > here.txt
        OMP_NUM_THREADS=1 qemu-x86_64 -cpu Haswell python scripts/probe_bits.py > there.txt
        diff here.txt there.txt

Debian's package ``qemu-user`` (7.2 or later) plays a processor with AVX2 only, Intel's
(``Haswell``) or AMD's (``EPYC-Rome``), in some minutes. What holds a code path
(``ATEN_CPU_CAPABILITY``, ...; see results/README.md, "Other processors") is set in front of both
commands. QEMU 7.2 sorts wrongly in NumPy's AVX2 code, so nothing here sorts; to run more than this
script there, add ``X86_V3`` to ``NPY_DISABLE_CPU_FEATURES`` on both sides. MKL's float32 ``sqrt``
came out otherwise in emulation than on a real AMD processor: that line tells nothing.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterator

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

Line = tuple[str, str]
PRODUCTS = ((1024, 128, 128), (2832, 64, 64), (700, 256, 64), (163, 640, 128), (32, 128, 1))
CONVOLUTIONS = ((3, 24, 5, 2), (24, 64, 3, 2), (64, 96, 3, 2), (96, 128, 3, 1))


def digest(*values: Tensor | np.ndarray) -> str:
    """Twelve digits for the bytes of some arrays."""
    found = hashlib.sha256()
    for value in values:
        array = value.detach().numpy() if isinstance(value, Tensor) else np.asarray(value)
        found.update(np.ascontiguousarray(array).tobytes())
    return found.hexdigest()[:12]


def draw(*shape: int) -> np.ndarray:
    """Standard normal float32; the shape alone decides which, and no kernel has a part in it."""
    return np.random.default_rng(shape).standard_normal(shape).astype(np.float32)


def both_ways(
    name: str, function: Callable[..., Tensor], *shapes: tuple[int, ...]
) -> Iterator[Line]:
    """The lines of a function of drawn tensors and of its gradients."""
    tensors = [torch.from_numpy(draw(*shape)).requires_grad_() for shape in shapes]
    result = function(*tensors)
    yield name, digest(result)
    given = torch.from_numpy(draw(*result.shape, 2)[..., 0].copy())
    yield f"{name}, backward", digest(*torch.autograd.grad(result, tensors, given))


def numpy_lines() -> Iterator[Line]:
    """NumPy: products, sums, and functions in both widths."""
    for m, k, n in PRODUCTS:
        yield f"numpy matmul {m}x{k}x{n}", digest(draw(m, k) @ draw(k, n))
    narrow = np.abs(draw(5000)) + np.float32(0.1)
    for name in ("exp", "log", "sqrt", "tanh", "log1p", "log2"):
        function = getattr(np, name)
        for values in (narrow, narrow.astype(np.float64)):
            yield f"numpy {name} {values.dtype}", digest(function(values))
    for values in (narrow, narrow.astype(np.float64)):
        yield f"numpy sum {values.dtype}", digest(values.sum(), values.mean(), values.std())


def product_lines() -> Iterator[Line]:
    """Matrix products and attention."""
    for m, k, n in PRODUCTS:
        yield from both_ways(f"linear {m}x{k}x{n}", F.linear, (m, k), (n, k), (n,))
    yield from both_ways("bmm", torch.bmm, (32, 32, 64), (32, 64, 16))
    heads = (16, 4, 30, 16)
    yield from both_ways("attention", F.scaled_dot_product_attention, heads, heads, heads)
    with torch.inference_mode():
        for i, o, size, stride in CONVOLUTIONS:
            pixels, kernels = torch.from_numpy(draw(2, i, 24, 24)), draw(o, i, size, size)
            made = F.conv2d(pixels, torch.from_numpy(kernels), None, stride, size // 2)
            yield f"conv2d {i} to {o}", digest(made)


def function_lines() -> Iterator[Line]:
    """Functions of one tensor, norms, losses."""
    square = (300, 128)
    for name in ("exp", "erf", "tanh", "sigmoid"):
        yield from both_ways(name, getattr(torch, name), square)
    for name in ("log", "sqrt", "rsqrt"):
        function = getattr(torch, name)
        yield from both_ways(name, lambda x, f=function: f(x.abs() + 0.1), square)
    yield from both_ways("gelu", F.gelu, square)
    yield from both_ways("softmax", lambda x: x.softmax(-1), square)
    yield from both_ways("log_softmax", lambda x: x.log_softmax(-1), square)
    yield from both_ways("softplus", F.softplus, square)
    yield from both_ways("std", lambda x: x.std(-1), square)
    yield from both_ways("normalize", lambda x: F.normalize(x, dim=-1), square)
    yield from both_ways("sum", lambda x: x.sum(0), square)
    yield from both_ways("layer_norm", lambda x, w: F.layer_norm(x, (128,), w), square, (128,))
    rows = torch.arange(300) % 128
    yield from both_ways("cross_entropy", lambda x: F.cross_entropy(x, rows), square)
    yield from both_ways("embedding", lambda x: F.embedding(rows, x), square)


def training_lines() -> Iterator[Line]:
    """Random draws and steps of Adam."""
    torch.manual_seed(0)
    yield "bernoulli_", digest(torch.empty(1000).bernoulli_(0.9))
    yield "normal_", digest(torch.empty(1000).normal_())
    yield "uniform_", digest(torch.empty(1000).uniform_())
    weight = torch.nn.Parameter(torch.from_numpy(draw(64, 65)))
    optimizer = torch.optim.Adam([weight], lr=1e-3, fused=True)
    for step in range(1, 4):
        weight.grad = torch.from_numpy(draw(64, 65, step)[..., 0].copy())
        optimizer.step()
    yield "Adam, fused", digest(weight)


def main() -> None:
    """Print a line an operation."""
    torch.set_num_threads(1)
    torch.use_deterministic_algorithms(True)
    for lines in (numpy_lines, product_lines, function_lines, training_lines):
        for name, found in lines():
            print(f"{found}  {name}", flush=True)


if __name__ == "__main__":
    main()
