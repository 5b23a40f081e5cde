"""What the figures were measured on."""

import os
import platform
import re
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any, Final

_PACKAGES: Final = (
    "plexwire",
    "trio",
    "trio-websocket",
    "wsproto",
    "websockets",
    "uvloop",
    "aiohttp",
    "picows",
    "pybase64",
)


def describe() -> dict[str, Any]:
    """Return CPU, kernel, Python, package versions and the load average."""
    found = re.search(r"model name\s*: (.+)", Path("/proc/cpuinfo").read_text())
    versions = {name: _version(name) for name in _PACKAGES}
    return {
        "cpu": found[1] if found else platform.machine(),
        "cpus": os.cpu_count(),
        "kernel": platform.release(),
        "python": platform.python_version(),
        "packages": {name: each for name, each in versions.items() if each is not None},
        "load_average": os.getloadavg()[0],
    }


def _version(package: str) -> str | None:
    try:
        return version(package)
    except PackageNotFoundError:
        return None
