"""How much memory there is, so that what cannot fit is refused before it is tried."""

from __future__ import annotations

import os

from lmm.errors import ModelError

GIB = 2**30


def total_memory() -> float:
    """Physical memory of the machine in bytes; infinite where the system does not tell."""
    try:
        return float(os.sysconf("SC_PHYS_PAGES")) * float(os.sysconf("SC_PAGE_SIZE"))
    except (AttributeError, ValueError, OSError):  # no such call, or no such name, on this system
        return float("inf")


def require_memory(needed: float, what: str, advice: str) -> None:
    """
    Refuse what needs more memory than the machine has.

    Parameters
    ----------
    needed : float
        Bytes.
    what, advice : str
        What needs it, and the way out.

    Raises
    ------
    ModelError
    """
    available = total_memory()
    if needed > available:
        raise ModelError(
            f"{what} would need about {needed / GIB:.1f} GiB of memory, and this machine has {available / GIB:.1f}. "
            f"{advice}"
        )
