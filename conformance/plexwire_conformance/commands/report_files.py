"""Files that are written aside and take their place only when they are complete."""

import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Protocol, TextIO, TypeAlias

from plexwire_conformance.run.events import Listener, RunEvent
from plexwire_conformance.target.target import BadTarget


class _Listens(Protocol):
    """A report."""

    def listen(self, event: RunEvent) -> None: ...


MakesReport: TypeAlias = Callable[[TextIO], _Listens]


@contextmanager
def report_file(path: Path, make: MakesReport) -> Iterator[Listener]:
    """Return the listener of the report that *make* writes to *path*; the file is there, complete, when the context ends.

    A report that fails, and one to which nothing was written, leaves whatever was at *path* before.

    Raises:
        BadTarget: *path* can't be written.
        OSError: the report can't be completed.
    """
    aside = _aside(path)
    try:
        file = (aside or path).open("w", encoding="utf-8", newline="\n")
    except OSError as error:
        raise BadTarget(f"can't write {path}: {error.strerror}") from None
    failed = False
    report = make(file)

    def listen(event: RunEvent) -> None:
        nonlocal failed
        try:
            report.listen(event)
        except BaseException:
            failed = True
            raise

    try:
        yield listen
    finally:
        _close(file, aside, path, failed=failed)


def _close(file: TextIO, aside: Path | None, path: Path, *, failed: bool) -> None:
    try:
        file.close()
        if aside is not None and not failed and aside.stat().st_size:
            aside.replace(path)
    finally:
        if aside is not None:
            aside.unlink(missing_ok=True)


def _aside(path: Path) -> Path | None:
    """Return where to write first; None if *path* is a pipe or a device, or its folder takes no other file."""
    path = path.resolve()
    if path.exists() and (not path.is_file() or not os.access(path.parent, os.W_OK)):
        return None
    return path.with_name(f".{path.name[:200]}.{os.getpid()}.part")
