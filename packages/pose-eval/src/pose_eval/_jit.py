"""How every kernel of this package is compiled. Imported late: numba takes a while to load."""

from collections.abc import Callable
from typing import TypeVar, cast

from numba import njit

Kernel = TypeVar("Kernel", bound=Callable[..., object])


def jit(kernel: Kernel) -> Kernel:
    """Compile a kernel at its first call, without the GIL, cached on disk where that is possible.

    Without a writable cache directory numba refuses `cache=True`; the kernel is then compiled once
    in every process. Division by zero gives inf or NaN as in numpy.
    """
    try:
        return cast(Kernel, njit(nogil=True, error_model="numpy", cache=True)(kernel))
    except RuntimeError:
        return cast(Kernel, njit(nogil=True, error_model="numpy")(kernel))
