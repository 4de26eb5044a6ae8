"""The name of the machine's processor, for records of what a number was measured on."""

from __future__ import annotations

import platform
from pathlib import Path


def processor_name() -> str:
    """Model of the processor, such as "AMD EPYC 7763"; the architecture where none is told."""
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
    except OSError:
        lines = []
    names = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    return names[0] if names else platform.processor() or platform.machine()
