"""How every kernel of this package is compiled, and the types of its arrays."""

import sys
from collections.abc import Callable
from functools import wraps
from itertools import count
from threading import Lock
from typing import Any, TypeVar, cast

import numpy as np
from numpy.typing import NDArray

F32 = NDArray[np.float32]
F64 = NDArray[np.float64]
I64 = NDArray[np.int64]
Bools = NDArray[np.bool_]
Kernel = TypeVar("Kernel", bound=Callable[..., object])
_LOCK = Lock()


def jit(kernel: Kernel) -> Kernel:
    """Compile a kernel at its first call, without the GIL, cached on disk where that is possible.

    Only then is numba imported, which takes half a second. Kernels are plain loops over memory they
    are given: an array expression or a reduction takes the compiler a second or more.
    """
    return _lazily(kernel, 0)


def jit_later(kernel: Kernel) -> Kernel:
    """Compile a kernel once it is called often; the first 100 calls take it as Python.

    For kernels whose work is small: whoever decodes a few images does not wait for numba. What
    Python computes must be the same, to the bit. Where numba is loaded it compiles at once.
    """
    return _lazily(kernel, 100)


def _lazily(kernel: Kernel, calls_before: int) -> Kernel:
    names, calls = kernel.__globals__, count(1)

    @wraps(kernel)
    def first_call(*args: object) -> object:
        if next(calls) <= calls_before and "numba" not in sys.modules:
            return kernel(*args)
        with _LOCK:
            if names[kernel.__name__] is first_call:
                # All kernels of the file at once: they call each other by these names.
                waiting = [v for v in names.values() if _code(v) is _code(first_call)]
                local = [v.__wrapped__ for v in waiting if v.__wrapped__.__globals__ is names]
                names.update({function.__name__: _compiled(function) for function in local})
        return names[kernel.__name__](*args)

    return cast(Kernel, first_call)


def _code(value: object) -> object:
    return getattr(value, "__code__", None)


def _compiled(kernel: Callable[..., object]) -> Callable[..., object]:
    """Return numba's kernel. Division by zero gives inf or NaN as in numpy.

    Never `parallel=True`: its thread pool kills forked DataLoader workers. Without a writable cache
    directory numba refuses `cache=True`; the kernel is then compiled once in every process.
    """
    from numba import njit

    options: dict[str, Any] = {"nogil": True, "error_model": "numpy", "no_cfunc_wrapper": True}
    try:
        return cast(Callable[..., object], njit(cache=True, **options)(kernel))
    except RuntimeError:
        return cast(Callable[..., object], njit(**options)(kernel))
