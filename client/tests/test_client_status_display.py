"""What people see: a table that fits its terminal and can't be steered, plain lines, and how a camera does."""

import re
from functools import partial
from io import StringIO

import pytest
import trio
from hypothesis import example, given, settings
from hypothesis import strategies as st
from rich.cells import cell_len
from rich.console import Console

from plexwire_client.commands import _watching
from plexwire_client.commands._status_display import (
    Board,
    Column,
    Health,
    PlainDisplay,
    Row,
    TableDisplay,
    draw,
    printable,
)
from plexwire_client.commands._watching import WatchOptions, watch_stream
from plexwire_protocol import (
    CloseCode,
    GatewayReconnecting,
    GatewayViewerSession,
    VideoFrame,
)
from plexwire_trio import Connection
from scripted_gateway import ViewerGateway

PATIENCE_S = 20


def drawn(board: Board, width: int = 80) -> list[str]:
    out = StringIO()
    Console(file=out, width=width, color_system=None).print(draw(board, width))
    return [line.rstrip() for line in out.getvalue().splitlines()]


def watched(names: list[str], note: str = "") -> Board:
    values = ("15.0", "1234 ms", "999.9 kB/s", "1920x1080", "123456", "12345")
    rows = [Row(name, Health.GOOD, values, note) for name in names]
    return Board(_watching._COLUMNS, rows, Health.GOOD, "ws://127.0.0.1:8700 · 0:12", ["out.mkv"])


@settings(deadline=None, max_examples=40)
@given(
    st.lists(st.text(max_size=60), min_size=1, max_size=8),
    st.sampled_from(["", "still 12 s", "away: " + "x" * 90]),
)
@example(["front", "rear", "left", "x" * 200], "still 12 s")
@example(["[red]front[/red]", "front\x1b[2J", "\u202efront", "カメラ" * 20], "")
def test_table_fits_80_columns_and_cuts_no_number(names: list[str], note: str) -> None:
    lines = drawn(watched(names, note))
    assert len(lines) == 1 + len(names) + 2
    assert all(cell_len(line) <= 80 for line in lines)
    for line in lines[1:-2]:
        assert re.search(r" 15\.0 +1234 ms +999\.9 kB/s +1920x1080 +123456 +12345", line)
        assert line.startswith("● ")
        assert note[:11] in line


def test_table_shows_short_names_whole_and_marks_long_ones_cut() -> None:
    lines = drawn(watched(["front", "a-camera-with-a-very-long-name-in-front"]))
    assert lines[1].startswith("● front ")
    assert "a-camera-with" in lines[2]
    assert "…" in lines[2]
    assert lines[0].split() == ["fps", "latency", "data", "picture", "frames", "skipped"]
    assert lines[-2:] == ["● ws://127.0.0.1:8700 · 0:12", "  out.mkv"]


def test_plain_lines_say_what_each_number_is(capsys: pytest.CaptureFixture[str]) -> None:
    PlainDisplay().show(watched(["front", "rear\n"], "waiting"))
    assert capsys.readouterr().out.splitlines() == [
        f"{name}  15.0 fps  latency 1234 ms  999.9 kB/s  1920x1080  123456 frames  12345 skipped  waiting"
        for name in ("front", "rear�")
    ]


def test_lines_cannot_steer_a_terminal() -> None:
    assert printable("front\x1b[2J\r\nrear") == "front�[2J��rear"


def test_live_reporter_draws_table_and_takes_no_markup() -> None:
    out = StringIO()
    console = Console(file=out, force_terminal=True, width=100, color_system=None)
    with TableDisplay(console) as to:
        to.say("hello [bold]you[/bold]")
        rows = [Row("front", Health.GOOD, ["15.0"]), Row("[red]rear", Health.BAD, ["0.0"], "away")]
        to.show(Board([Column("fps", "{} fps")], rows, Health.GOOD, "[red]live", ["[red]more"]))
    for said in ("hello [bold]you[/bold]", "front", "[red]rear", "[red]live", "[red]more"):
        assert said in out.getvalue()


# ── how a camera does ────────────────────────────────────────────────────────────────────────


class Watcher(PlainDisplay):
    """Keeps what it is shown, and wakes who waits for more."""

    interval_s = 0.02

    def __init__(self) -> None:
        self.board: Board | None = None
        self._shown = trio.Event()

    def say(self, line: str) -> None:
        pass

    def show(self, board: Board) -> None:
        self.board = board
        self._shown.set()
        self._shown = trio.Event()

    async def until(self, state: tuple[Health, str, Health, str]) -> None:
        """Wait for a board whose only row and whose connection do as *state* says."""
        while True:
            await self._shown.wait()
            assert self.board is not None
            row, board = self.board.rows[0], self.board
            if (row.health, row.note[:5], board.health, board.words.split(",")[0][:16]) == state:
                return


async def test_watch_shows_how_camera_and_connection_do(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(_watching, "STILL_S", 0.3)
    watcher = Watcher()

    async def script(viewer: Connection[GatewayViewerSession]) -> None:
        viewer.session.grant((), now=trio.current_time())
        viewer.flush_soon()

        def send(message: VideoFrame | GatewayReconnecting) -> None:
            viewer.session.send(message, now=trio.current_time())
            viewer.flush_soon()

        picture = VideoFrame(
            source_id="robot-01",
            camera_id="front",
            jpeg=b"\xff\xd8",
            width=64,
            height=48,
            timestamp=1,
        )
        connected = f"ws://127.0.0.1:{port}"[:16]
        await watcher.until((Health.WAITING, "waiti", Health.GOOD, connected))
        send(picture)
        await watcher.until((Health.GOOD, "", Health.GOOD, connected))
        await watcher.until((Health.WAITING, "still", Health.GOOD, connected))
        send(GatewayReconnecting(attempt=1, max_attempts=5, delay_s=2))
        await watcher.until((Health.WAITING, "still", Health.WAITING, "the gateway lost"))
        send(picture)
        await watcher.until((Health.GOOD, "", Health.GOOD, connected))
        listener_scope.cancel()
        viewer.session.close(CloseCode.GOING_AWAY, now=trio.current_time())
        viewer.flush_soon()

    with trio.fail_after(PATIENCE_S):
        async with trio.open_nursery() as nursery:
            listener_scope = trio.CancelScope()

            async def listen(*, task_status: trio.TaskStatus[list[trio.SocketListener]]) -> None:
                with listener_scope:
                    await trio.serve_tcp(
                        ViewerGateway(nursery, script).serve,
                        0,
                        host="127.0.0.1",
                        handler_nursery=nursery,
                        task_status=task_status,
                    )

            [listener] = await nursery.start(listen)
            port = listener.socket.getsockname()[1]
            options = WatchOptions(
                url=f"ws://127.0.0.1:{port}",
                api_key="plx_test_key",
                source_id="robot-01",
                cameras=("front",),
                reconnect=True,
            )
            nursery.start_soon(partial(watch_stream, options, watcher))
            await watcher.until((Health.BAD, "", Health.BAD, "away"))
            nursery.cancel_scope.cancel()
