"""What a command shows: a table that stays in place on a terminal, plain lines elsewhere."""

import io
import os
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager
from enum import Enum
from types import TracebackType
from typing import Final, Protocol, Self

import click
import trio
from attrs import define, frozen
from rich.console import Console, Group
from rich.live import Live
from rich.table import Table
from rich.text import Text

from plexwire_protocol import PlexwireError


@define(eq=False)
class OutputFailed(PlexwireError):
    """Standard output can't be written to."""

    problem: str

    def __str__(self) -> str:
        return self.problem


class Health(Enum):
    """How something does; the value is the colour of its dot."""

    GOOD = "green"
    WAITING = "yellow"
    BAD = "red"


@frozen
class Column:
    """A column's `title` on a terminal, and how its values read in a plain line."""

    title: str
    plain: str = "{}"


@frozen
class Row:
    """A camera or a device: its name, how it does, a value a column, and `note` in words."""

    name: str
    health: Health
    values: Sequence[str]
    note: str = ""


@frozen
class Board:
    """How things stand: rows under `columns`, and below them how the connection does, and what else there is to say."""

    columns: Sequence[Column]
    rows: Sequence[Row]
    health: Health
    words: str
    more: Sequence[str] = ()


def printable(text: str) -> str:
    """Return *text* on one line, without what could steer a terminal: it may come from a stranger."""
    return "".join(each if each.isprintable() else "\N{REPLACEMENT CHARACTER}" for each in text)


class StatusDisplay(AbstractContextManager["StatusDisplay"], Protocol):
    """Where a command's lines go; `interval_s` is how often it likes to be shown the board."""

    interval_s: float

    def say(self, line: str) -> None:
        """Say *line*, which stays."""

    def show(self, board: Board) -> None:
        """Show how things stand."""


class PlainDisplay(StatusDisplay):
    """Plain lines, once a second, for files and pipes; *err* is whether they go to standard error."""

    interval_s = 1.0

    def __init__(self, *, err: bool = False) -> None:
        self._err = err

    def say(self, line: str) -> None:
        """Write *line*."""
        with _writing():
            click.echo(printable(line), err=self._err)

    def show(self, board: Board) -> None:
        """Write a line a row."""
        for row in board.rows:
            values = [
                column.plain.format(value)
                for column, value in zip(board.columns, row.values, strict=True)
            ]
            with _writing():
                line = printable("  ".join((row.name, *values, row.note))).rstrip()
                click.echo(line, err=self._err)

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        """Leave nothing behind."""


_DOT: Final = "●"
#: Characters of a note that there is room for beside the numbers.
_LONGEST_NOTE: Final = 12
#: Characters of a name that are left on the narrowest terminal.
_SHORTEST_NAME: Final = 6


class TableDisplay(StatusDisplay):
    """A table that stays in place on a terminal, with what is said scrolling by above it."""

    interval_s = 0.25

    def __init__(self, console: Console | None = None) -> None:
        self._console = Console(highlight=False) if console is None else console
        self._live = Live(console=self._console, auto_refresh=False)

    def __enter__(self) -> Self:
        self._live.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self._live.stop()

    def say(self, line: str) -> None:
        """Print *line* above the table."""
        with _writing():
            self._console.print(Text(printable(line)))

    def show(self, board: Board) -> None:
        """Draw the table anew."""
        with _writing():
            self._live.update(draw(board, self._console.width), refresh=True)


def draw(board: Board, width: int) -> Group:
    """Return *board* as it is drawn on a terminal of *width* columns: one line a row, no number cut."""
    table = Table(box=None, padding=(0, 1, 0, 0), header_style="dim", pad_edge=False)
    table.add_column(width=1)
    table.add_column(style="bold", no_wrap=True, overflow="ellipsis", max_width=_room(board, width))
    for column in board.columns:
        table.add_column(column.title, justify="right", no_wrap=True)
    table.add_column(style="yellow", no_wrap=True, overflow="ellipsis", max_width=_LONGEST_NOTE)
    for row in board.rows:
        cells = (Text(printable(cell)) for cell in (row.name, *row.values, row.note))
        table.add_row(Text(_DOT, row.health.value), *cells)
    words = Text(_DOT, board.health.value)
    words.append(f" {printable(board.words)}", "default")
    more = (Text(f"  {printable(each)}", "dim") for each in board.more)
    return Group(table, words, *more)


def _room(board: Board, width: int) -> int:
    """Return what names may take, so that a long one is cut and no number is."""
    titles = (*(column.title for column in board.columns), "")
    rows = [(*row.values, row.note[:_LONGEST_NOTE]) for row in board.rows]
    taken = sum(max(map(len, column)) + 1 for column in zip(titles, *rows, strict=True))
    return max(_SHORTEST_NAME, width - taken - len(_DOT) - 2)


def status_display(*, err: bool = False) -> StatusDisplay:
    """Return the display that suits standard output, or with *err* standard error.

    Raises:
        OutputFailed: standard output is closed.

    """
    stream = sys.stderr if err else sys.stdout
    if stream is None and not err:  # after >&-
        raise OutputFailed("Standard output is closed: send it to a file, or to /dev/null.")
    if isinstance(stream, io.TextIOWrapper):
        # A camera's name may have characters that the terminal's encoding lacks.
        stream.reconfigure(errors="replace")
    if stream is not None and stream.isatty():
        return TableDisplay(Console(highlight=False, stderr=err))
    return PlainDisplay(err=err)


@contextmanager
def _writing() -> Iterator[None]:
    """Turn what writing to standard output raises into `OutputFailed`, but for a reader that has gone."""
    try:
        yield
    except BrokenPipeError:
        raise
    except OSError as error:
        # What is still in the buffer would fail once more when Python ends.
        with open(os.devnull, "w") as nowhere:
            os.dup2(nowhere.fileno(), sys.stdout.fileno())
        raise OutputFailed(f"Standard output can't be written to: {error.strerror}.") from None


async def show_regularly(to: StatusDisplay, board: Callable[[], Board]) -> None:
    """Show *board* every `interval_s`, until cancelled."""
    while True:
        await trio.sleep(to.interval_s)
        to.show(board())
