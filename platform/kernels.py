"""Compiled kernels: numba where it is there, compiled once per machine where it can be stored."""

from __future__ import annotations

from collections.abc import Callable
from types import ModuleType
from typing import Any, TypeVar, cast

F = TypeVar("F", bound=Callable[..., Any])

numba: ModuleType | None
try:
    import numba
except ImportError:  # the costly kernels have a NumPy twin of equal output
    numba = None

HAS_NUMBA = numba is not None


def compiled(function: F, /, **options: Any) -> F:
    """``function`` compiled by numba; without numba it stays Python, and is slow.

    ``options`` are further ones of ``numba.njit``. The machine code is kept beside the source, or in
    the user's cache folder, or where ``NUMBA_CACHE_DIR`` says. Where none of these can be written it
    is compiled in each process.
    """
    if numba is None:
        return function
    try:
        kernel = numba.njit(cache=True, nogil=True, **options)(function)
    except RuntimeError:  # "no locator available": nowhere to keep it
        kernel = numba.njit(nogil=True, **options)(function)
    return cast(F, kernel)
