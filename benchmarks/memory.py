"""How much memory this process has needed. Imports nothing heavy, so that it can be asked inside what is measured."""

from __future__ import annotations

import re
import sys
from pathlib import Path


def peak_bytes() -> int:
    """The most memory that this process ever held at once, in bytes.

    On Linux `ru_maxrss` survives exec, so that a child begins with its parent's peak; VmHWM begins anew.
    """
    status = Path("/proc/self/status")
    if status.exists():
        (kilobytes,) = re.findall(r"VmHWM:\s+(\d+) kB", status.read_text())
        return int(kilobytes) * 1024
    import resource  # not on Windows

    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak if sys.platform == "darwin" else peak * 1024
