"""What the kernel knows of a gateway's process: CPU time, memory, and bytes in TCP buffers."""

import os
import re
from contextlib import suppress
from mmap import PAGESIZE
from pathlib import Path

MIB = 1 << 20


def listener(port: int) -> int | None:
    """Return the id of the process that listens on a local TCP *port*, if this user may see it."""
    inodes = set[str]()
    for table in ("/proc/net/tcp", "/proc/net/tcp6"):
        with suppress(OSError):
            for line in Path(table).read_text().splitlines()[1:]:
                fields = line.split()
                if fields[3] == "0A" and int(fields[1].rpartition(":")[2], 16) == port:
                    inodes.add(f"socket:[{fields[9]}]")
    for folder in Path("/proc").glob("[0-9]*/fd"):
        with suppress(OSError):
            if any(os.readlink(link) in inodes for link in folder.iterdir()):
                return int(folder.parent.name)
    return None


def cpu_seconds(pid: int) -> float:
    """Return the CPU time of all threads of *pid*, in seconds, counted in nanoseconds by the scheduler."""
    total = 0
    for task in Path(f"/proc/{pid}/task").iterdir():
        with suppress(OSError):
            total += int((task / "schedstat").read_text().split()[0])
    return total / 1e9


def resident_mb(pid: int, which: str = "VmRSS") -> float:
    """Return the resident memory of *pid* in MiB; *which* is `VmRSS` (now) or `VmHWM` (its peak)."""
    found = re.search(which + r":\s+(\d+) kB", Path(f"/proc/{pid}/status").read_text())
    return int(found[1]) / 1024 if found else float("nan")


def restart_peak(pid: int) -> None:
    """Let `VmHWM` begin anew, if this user may."""
    with suppress(OSError):
        Path(f"/proc/{pid}/clear_refs").write_text("5")


def tcp_memory_mb() -> float:
    """Return the memory in TCP buffers of the whole machine, in MiB."""
    found = re.search(r"^TCP:.* mem (\d+)", Path("/proc/net/sockstat").read_text(), re.MULTILINE)
    return int(found[1]) * PAGESIZE / MIB if found else float("nan")


def pin(pid: int, cpu: int) -> None:
    """Let all threads of *pid* run on one CPU only."""
    for task in Path(f"/proc/{pid}/task").iterdir():
        with suppress(OSError):
            os.sched_setaffinity(int(task.name), {cpu})
