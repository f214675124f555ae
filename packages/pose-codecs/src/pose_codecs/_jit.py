"""How every kernel of this package is compiled, and the types of its arrays."""

import sys
from collections.abc import Callable
from functools import wraps
from inspect import isfunction
from itertools import count
from threading import Lock
from time import thread_time
from typing import Any, TypeVar, cast

import numpy as np
from numpy.typing import NDArray

F32 = NDArray[np.float32]
F64 = NDArray[np.float64]
I64 = NDArray[np.int64]
Bools = NDArray[np.bool_]
Kernel = TypeVar("Kernel", bound=Callable[..., object])
# Kernels wait for the compiler until one of them is called so often, or all together took so long.
CALLS, SECONDS = 100, 0.5
_LOCK = Lock()
_spent = 0.0  # seconds of CPU time in kernels that were not compiled yet


def jit(kernel: Kernel) -> Kernel:
    """Compile a kernel at its first call, without the GIL, cached on disk where that is possible.

    Only then is numba imported, which takes half a second. Kernels are plain loops over memory they
    are given: an array expression or a reduction takes the compiler a second or more.
    """
    return _lazily(kernel)


def jit_later(plain: Callable[..., object] | None = None) -> Callable[[Kernel], Kernel]:
    """Compile a kernel once that is worth its time; before, call `plain` (None: itself, as Python).

    Whoever decodes a few images does not wait for numba. What `plain` computes must be the same, to
    the bit, and its time must be that of numpy or of a few thousand steps of Python. Where numba is
    loaded kernels are compiled at once.
    """
    return lambda kernel: _lazily(kernel, plain or kernel)


def jit_part(function: Kernel) -> Kernel:
    """Compile a function that kernels of its file call, with them; until then it is Python."""
    vars(function)["is_part"] = True
    return function


def compile_from_now_on() -> None:
    """Let no kernel wait for the compiler any longer."""
    global _spent
    _spent = SECONDS


def _lazily(kernel: Kernel, plain: Callable[..., object] | None = None) -> Kernel:
    names, calls = kernel.__globals__, count(1)

    @wraps(kernel)
    def first_calls(*args: object) -> object:
        global _spent
        wait = next(calls) <= CALLS and _spent < SECONDS and "numba" not in sys.modules
        if plain and wait:
            start = thread_time()
            result = plain(*args)
            _spent += thread_time() - start
            return result
        with _LOCK:
            if names[kernel.__name__] is first_calls:
                # All kernels of the file at once: they call each other by these names.
                names.update({f.__name__: _compiled(f) for f in _waiting(names, first_calls)})
        return names[kernel.__name__](*args)

    return cast(Kernel, first_calls)


def _waiting(names: dict[str, Any], first_calls: Any) -> list[Callable[..., object]]:
    """Return the functions of a file that wait for the compiler, out of its names."""
    code = first_calls.__code__
    functions = [v for v in names.values() if getattr(v, "__code__", None) is code]
    kernels = [v.__wrapped__ for v in functions]
    parts = [v for v in names.values() if isfunction(v) and "is_part" in vars(v)]
    return [f for f in kernels + parts if f.__globals__ is names]


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
