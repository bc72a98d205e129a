"""What the C library does with memory that is given back."""

from __future__ import annotations

import ctypes
import sys

# Of <malloc.h>.
M_TRIM_THRESHOLD, M_MMAP_THRESHOLD = -1, -3
KEPT = 2**28  # bytes at the end of what is held, above which they go back to the system
OWN_PAGES = 2**26  # bytes, from where a piece comes from the system and goes back to it by itself


def keep_freed_memory() -> None:
    """Have this process reuse the memory that a training step frees in the next one.

    By itself glibc gives the activations of a large batch back to the system after each step; each step then takes them
    anew, page by page, and the system fills every page with zeros first. Without glibc nothing changes.
    """
    if sys.platform != "linux":
        return
    mallopt = getattr(ctypes.CDLL(None), "mallopt", None)
    if mallopt is not None:
        mallopt(M_TRIM_THRESHOLD, KEPT)
        mallopt(M_MMAP_THRESHOLD, OWN_PAGES)
