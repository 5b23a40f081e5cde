"""The standard streams as every command uses them: any encoding will do, and a closed pipe ends no judgement."""

import codecs
import errno
import io
import os
import sys
from typing import Final, TextIO

_HANDLER: Final = "plexwire-stand-ins"

#: ASCII for what reports contain; any other character that an encoding lacks becomes a question mark.
_STAND_INS: Final = {
    **dict.fromkeys("→⇒", "->"),
    **dict.fromkeys("←⇐", "<-"),
    **dict.fromkeys("–—−━─╸╺", "-"),
    **dict.fromkeys("“”„", '"'),
    **dict.fromkeys("‘’", "'"),
    **dict.fromkeys("•·", "*"),
    "…": "...",
    "×": "x",
    "≥": ">=",
    "≤": "<=",
    "\N{NO-BREAK SPACE}": " ",
}


def _stand_in(error: UnicodeError) -> tuple[str, int]:
    if not isinstance(error, UnicodeEncodeError):
        raise error
    lacking = error.object[error.start : error.end]
    return "".join(_STAND_INS.get(each, "?") for each in lacking), error.end


codecs.register_error(_HANDLER, _stand_in)


def write_any_text() -> None:
    """Let both standard streams take any text, whatever their encoding."""
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors=_HANDLER)


def outlive_readers() -> None:
    """Drop what is written to a standard stream that nobody reads any more; a stream that is closed drops everything."""
    sys.stdout = _outliving(sys.stdout)
    sys.stderr = _outliving(sys.stderr)


def _outliving(stream: TextIO | None) -> TextIO:
    if stream is None:
        return open(os.devnull, "w", encoding="utf-8")
    if not isinstance(stream, io.TextIOWrapper):
        return stream
    try:
        number = stream.fileno()
    except OSError:
        return stream  # It is in memory.
    stream.flush()
    return io.TextIOWrapper(
        io.BufferedWriter(_Outliving(number, "w", closefd=False)),
        encoding=stream.encoding,
        errors=stream.errors,
        line_buffering=stream.line_buffering or stream.isatty(),
    )


class _Outliving(io.FileIO):
    """A file descriptor that takes everything after its reader has gone, or after the first error was raised."""

    _ended = False

    def write(self, data: object, /) -> int:
        size = memoryview(data).nbytes  # type: ignore[arg-type]
        if self._ended:
            return size
        try:
            return super().write(data) or 0  # type: ignore[arg-type]
        except OSError as error:
            self._ended = True
            # Windows reports a closed pipe as an invalid argument.
            if error.errno in (errno.EPIPE, errno.EINVAL):
                return size
            raise
