"""Memory that is freed stays with the process, for what it does next."""

import ctypes
import subprocess
import sys

import pytest

LEFT = """
from pathlib import Path
from resource import getpagesize
from narrows.allocation import keep_freed_memory

def held():
    return int(Path("/proc/self/statm").read_text().split()[1]) * getpagesize() / 2**20

if {keep}:
    keep_freed_memory()
before = held()
pieces = [b"x" * 2**22 for _ in range(25)]
del pieces
print(held() - before)
"""


def left(keep: bool) -> float:
    """MiB that a process holds more of after it took 100 and freed them."""
    code = LEFT.format(keep=keep)
    return float(subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout)


@pytest.mark.skipif(
    sys.platform != "linux" or not hasattr(ctypes.CDLL(None), "mallopt"), reason="the C library has no mallopt"
)
def test_what_is_freed_is_kept_where_that_is_asked_for() -> None:
    assert left(keep=False) < 50 < left(keep=True)
