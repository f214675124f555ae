"""`jit` where numba can be imported, else a decorator that leaves loops as they stand: slow."""

from collections.abc import Callable
from typing import TypeVar

Kernel = TypeVar("Kernel", bound=Callable[..., object])


def jit(kernel: Kernel) -> Kernel:
    """Compile a kernel, or return it as it is without numba (or one that fits this numpy)."""
    try:
        from pose_eval._jit import jit as compiled
    except ImportError:
        return kernel
    return compiled(kernel)
