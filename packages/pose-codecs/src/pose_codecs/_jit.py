"""How every kernel of this package is compiled, and the types of its arrays."""

from collections.abc import Callable
from typing import TypeVar, cast

import numpy as np
from numba import njit
from numpy.typing import NDArray

F32 = NDArray[np.float32]
F64 = NDArray[np.float64]
I64 = NDArray[np.int64]
Bools = NDArray[np.bool_]
Kernel = TypeVar("Kernel", bound=Callable[..., object])


def jit(kernel: Kernel) -> Kernel:
    """Compile a kernel at its first call, without the GIL, cached on disk where that is possible.

    Never `parallel=True`: its thread pool kills forked DataLoader workers. Without a writable cache
    directory numba refuses `cache=True`; the kernel is then compiled once in every process.
    Division by zero gives inf or NaN as in numpy.
    """
    try:
        return cast(Kernel, njit(nogil=True, error_model="numpy", cache=True)(kernel))
    except RuntimeError:
        return cast(Kernel, njit(nogil=True, error_model="numpy")(kernel))
