"""Memory that has been freed, given back to the system."""

from __future__ import annotations

import contextlib
import ctypes


def release() -> None:
    """Give back what the allocator holds in reserve; does nothing where it has no such call (glibc has).

    Chunks on their way through a model free and take tensors in turn, and leave holes too small for a wide
    layer's matrices. Called before these are made, it costs a few page faults, and the peak is what
    is in use.

    Examples
    --------
    >>> release()
    """
    with contextlib.suppress(OSError, AttributeError):
        ctypes.CDLL(None).malloc_trim(0)
