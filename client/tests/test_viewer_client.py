"""The viewer against a small gateway made of the core, over memory streams in virtual time."""

from itertools import pairwise

import pytest
import trio
import trio.testing
from attrs import evolve

from plexwire_client import (
    ConnectError,
    ConnectionLost,
    GatewayUrl,
    NotAGateway,
    Reconnecting,
    Refused,
    ViewerClient,
    ViewerEvent,
    open_viewer,
)
from plexwire_protocol import (
    AddressRefused,
    AnswerMissing,
    CloseCode,
    GatewayDeviated,
    GatewayReconnecting,
    GatewayViewerSession,
    Init,
    OnlineSource,
    VideoFrame,
    encode,
)
from plexwire_protocol.limits import ANSWER_DEADLINE_S
from plexwire_trio import Connection
from scripted_gateway import ViewerGateway, ViewerScript

KEY = "plx_test_key_of_the_viewer"
URL = "ws://gateway.example"
ONLINE = (OnlineSource(source_id="robot-01", cameras=["front"]),)
#: How far real CPU time may lag behind virtual time: not at all.
SOON = 0.01


def frame(number: int = 1, camera_id: str = "front") -> VideoFrame:
    return VideoFrame(
        source_id="robot-01",
        camera_id=camera_id,
        jpeg=b"\xff\xd8" + number.to_bytes(4) + b"\xff\xd9",
        width=640,
        height=360,
        timestamp=number,
    )


async def collect(viewer: ViewerClient, into: list[ViewerEvent]) -> None:
    async for event in viewer.events():
        into.append(event)


async def let_in(connection: Connection[GatewayViewerSession]) -> None:
    connection.session.grant(ONLINE, now=trio.current_time())
    await connection.flush()


def sends(*frames: VideoFrame, then: CloseCode | None = None) -> ViewerScript:
    """Let the viewer in, send *frames*, and close."""

    async def script(connection: Connection[GatewayViewerSession]) -> None:
        await let_in(connection)
        for each in frames:
            connection.session.send(each, now=trio.current_time())
            await connection.flush()
        if then is not None:
            connection.session.close(then, now=trio.current_time())
            await connection.flush()

    return script


def refuses(code: CloseCode) -> ViewerScript:
    async def script(connection: Connection[GatewayViewerSession]) -> None:
        connection.session.refuse(code, now=trio.current_time())
        await connection.flush()

    return script


async def vanishes(connection: Connection[GatewayViewerSession]) -> None:
    await let_in(connection)
    await trio.sleep(5)
    await connection._ws._stream.aclose()


async def stays_silent(connection: Connection[GatewayViewerSession]) -> None:
    await trio.sleep_forever()


async def test_viewer_iterates_over_frames_until_proper_end(
    nursery: trio.Nursery, autojump_clock: trio.testing.MockClock
) -> None:
    gateway = ViewerGateway(nursery, sends(frame(1), frame(2, "rear"), then=CloseCode.TIMEOUT))
    async with open_viewer(
        URL,
        api_key=KEY,
        source_id="robot-01",
        cameras=["front", "rear"],
        timeout=60,
        opener=gateway.open_stream,
    ) as viewer:
        assert viewer.init == Init(online_sources=ONLINE)
        assert [each async for each in viewer] == [frame(1), frame(2, "rear")]
        assert viewer.closed is not None
        assert viewer.closed.code == CloseCode.TIMEOUT
    assert gateway.targets == [
        "/v1/sources/robot-01/video/stream?camera_id=front&camera_id=rear&timeout=60"
    ]


async def test_viewer_never_puts_key_into_url_or_header(
    nursery: trio.Nursery, autojump_clock: trio.testing.MockClock
) -> None:
    gateway = ViewerGateway(nursery, sends(then=CloseCode.NORMAL))
    async with open_viewer(
        URL, api_key=KEY, source_id="robot-01", cameras=["front"], opener=gateway.open_stream
    ) as viewer:
        assert KEY not in repr(viewer)
    assert [auth.api_key for auth in gateway.auths] == [KEY]
    assert (len(gateway.targets), len(gateway.connected_at)) == (1, 1)
    assert (b"user-agent", b"plexwire") in [(n.lower(), v[:8]) for n, v in gateway.headers]
    assert KEY not in "".join(gateway.targets)
    assert KEY.encode() not in b"".join(name + value for name, value in gateway.headers)


async def test_viewer_gets_newest_frame_of_each_camera_where_application_is_slow(
    nursery: trio.Nursery, autojump_clock: trio.testing.MockClock
) -> None:
    frames = [frame(1), frame(2, "rear"), frame(3), frame(4), frame(5, "rear"), frame(6)]
    gateway = ViewerGateway(nursery, sends(*frames, then=CloseCode.NORMAL))
    async with open_viewer(
        URL,
        api_key=KEY,
        source_id="robot-01",
        cameras=["front", "rear"],
        opener=gateway.open_stream,
    ) as viewer:
        await trio.sleep(1)
        assert [each async for each in viewer] == [frame(6), frame(5, "rear")]
        assert (viewer.frames, viewer.skipped) == (6, 4)


@pytest.mark.parametrize("code", [CloseCode.UNAUTHORIZED, CloseCode.NO_API_ACCESS])
@pytest.mark.parametrize("reconnect", [False, True])
async def test_viewer_raises_refused_and_never_retries_where_key_is_turned_away(
    nursery: trio.Nursery,
    autojump_clock: trio.testing.MockClock,
    code: CloseCode,
    reconnect: bool,
) -> None:
    gateway = ViewerGateway(nursery, refuses(code))
    with pytest.raises(Refused) as caught:
        async with open_viewer(
            URL,
            api_key=KEY,
            source_id="robot-01",
            cameras=["front"],
            reconnect=reconnect,
            opener=gateway.open_stream,
        ):
            pytest.fail("let in")
    assert caught.value.close.code == code
    assert str(int(code)) in str(caught.value)
    assert KEY not in f"{caught.value} {caught.value!r}"
    await trio.sleep(120)
    assert len(gateway.connected_at) == 1


async def test_viewer_raises_answer_missing_where_init_never_comes(
    nursery: trio.Nursery, autojump_clock: trio.testing.MockClock
) -> None:
    gateway = ViewerGateway(nursery, stays_silent)
    began = trio.current_time()
    with pytest.raises(AnswerMissing):
        async with open_viewer(
            URL, api_key=KEY, source_id="robot-01", cameras=["front"], opener=gateway.open_stream
        ):
            pytest.fail("let in")
    assert trio.current_time() - began == pytest.approx(ANSWER_DEADLINE_S, abs=SOON)
    assert gateway.closes == [CloseCode.PROTOCOL_ERROR]


async def test_viewer_raises_connection_lost_where_gateway_vanishes(
    nursery: trio.Nursery, autojump_clock: trio.testing.MockClock
) -> None:
    gateway = ViewerGateway(nursery, vanishes)
    async with open_viewer(
        URL, api_key=KEY, source_id="robot-01", cameras=["front"], opener=gateway.open_stream
    ) as viewer:
        with pytest.raises(ConnectionLost, match="connection was lost"):
            await anext(viewer)


async def test_viewer_raises_connection_lost_where_gateway_has_internal_error(
    nursery: trio.Nursery, autojump_clock: trio.testing.MockClock
) -> None:
    gateway = ViewerGateway(nursery, sends(frame(1), then=CloseCode.INTERNAL_ERROR))
    async with open_viewer(
        URL, api_key=KEY, source_id="robot-01", cameras=["front"], opener=gateway.open_stream
    ) as viewer:
        assert await anext(viewer) == frame(1)
        with pytest.raises(ConnectionLost, match=r"internal error; try again\. \[1011\]"):
            await anext(viewer)


async def test_viewer_goes_on_when_gateway_deviates(
    nursery: trio.Nursery, autojump_clock: trio.testing.MockClock
) -> None:
    """A frame before the init, one without source, two more inits: each kind is reported once."""
    second = Init(online_sources=[OnlineSource(source_id="robot-01", cameras=["front"])])
    anonymous = encode(frame(2)).replace('"source_id":"robot-01",', "")

    async def script(connection: Connection[GatewayViewerSession]) -> None:
        for text in (encode(frame(1)), encode(Init(online_sources=())), encode(second)):
            await connection._ws.send_message(text)
            await trio.sleep(1)
        for text in (encode(second), anonymous, anonymous):
            await connection._ws.send_message(text)
            await trio.sleep(1)

    gateway = ViewerGateway(nursery, script)
    async with open_viewer(
        URL, api_key=KEY, source_id="robot-01", cameras=["front"], opener=gateway.open_stream
    ) as viewer:
        assert viewer.init == Init(online_sources=())
        seen: list[object] = []
        async for event in viewer.events():
            seen.append(event)
            if seen.count(frame(2)) == 2:
                break
        assert viewer.init == second
    early = GatewayDeviated("PW-INIT-3", "message", "is a frame before the init")
    again = GatewayDeviated("PW-INIT-1", "message", "is an init after the first")
    nameless = GatewayDeviated("PW-FRAME-1", "source_id", "is missing")
    assert seen == [early, frame(1), again, second, second, nameless, frame(2), frame(2)]
    assert viewer.deviations == (early, again, nameless)
    assert (viewer.reconnects, viewer.foreign) == (0, 0)


async def test_viewer_goes_on_when_the_init_cannot_be_read(
    nursery: trio.Nursery, autojump_clock: trio.testing.MockClock
) -> None:
    async def script(connection: Connection[GatewayViewerSession]) -> None:
        await connection._ws.send_message("init")
        await trio.sleep(60)
        await connection._ws.send_message(encode(frame(1)))

    gateway = ViewerGateway(nursery, script)
    async with open_viewer(
        URL, api_key=KEY, source_id="robot-01", cameras=["front"], opener=gateway.open_stream
    ) as viewer:
        assert viewer.init == Init(online_sources=())
        assert viewer.deviations == (GatewayDeviated("PW-VIEW-3", "message", "is not JSON"),)
        assert await anext(viewer) == frame(1)


async def test_viewer_stays_and_tells_where_gateway_lost_its_upstream(
    nursery: trio.Nursery, autojump_clock: trio.testing.MockClock
) -> None:
    notice = GatewayReconnecting(attempt=1, max_attempts=5, delay_s=2)

    async def script(connection: Connection[GatewayViewerSession]) -> None:
        await let_in(connection)
        connection.session.send(notice, now=trio.current_time())
        await connection.flush()
        await trio.sleep(2)
        await sends_on(connection)

    async def sends_on(connection: Connection[GatewayViewerSession]) -> None:
        connection.session.send(frame(1), now=trio.current_time())
        connection.session.close(now=trio.current_time())
        await connection.flush()

    gateway = ViewerGateway(nursery, script)
    async with open_viewer(
        URL, api_key=KEY, source_id="robot-01", cameras=["front"], opener=gateway.open_stream
    ) as viewer:
        assert [event async for event in viewer.events()] == [notice, frame(1)]


async def test_viewer_takes_frame_without_source_for_its_own_and_counts_foreign_ones(
    nursery: trio.Nursery, autojump_clock: trio.testing.MockClock
) -> None:
    async def script(connection: Connection[GatewayViewerSession]) -> None:
        await let_in(connection)
        for number, source_id in enumerate(("", "robot-02", "robot-01")):
            sent = encode(evolve(frame(number), source_id=source_id))
            await connection._ws.send_message(sent)
        connection.session.close(now=trio.current_time())
        await connection.flush()

    gateway = ViewerGateway(nursery, script)
    async with open_viewer(
        URL, api_key=KEY, source_id="robot-01", cameras=["front"], opener=gateway.open_stream
    ) as viewer:
        await trio.sleep(1)
        assert [each.timestamp async for each in viewer] == [2]
        assert (viewer.frames, viewer.skipped, viewer.foreign) == (2, 1, 1)


# ── reconnecting ─────────────────────────────────────────────────────────────────────────────


async def test_viewer_reconnects_at_once_where_timeout_has_passed(
    nursery: trio.Nursery, autojump_clock: trio.testing.MockClock
) -> None:
    gateway = ViewerGateway(nursery, let_in)
    async with open_viewer(
        URL,
        api_key=KEY,
        source_id="robot-01",
        cameras=["front"],
        timeout=60,
        reconnect=True,
        opener=gateway.open_stream,
    ) as viewer:
        events: list[ViewerEvent] = []
        with trio.move_on_after(150):
            async for event in viewer.events():
                events.append(event)
    assert gateway.connected_at == pytest.approx(
        [gateway.connected_at[0] + n * 60 for n in range(3)], abs=SOON
    )
    assert [type(event) for event in events] == [Reconnecting, Init] * 2
    assert viewer.reconnects == 2


async def test_viewer_reconnects_with_growing_pauses_where_gateway_goes_away(
    nursery: trio.Nursery, autojump_clock: trio.testing.MockClock
) -> None:
    gateway = ViewerGateway(nursery, sends(then=CloseCode.GOING_AWAY))
    async with open_viewer(
        URL,
        api_key=KEY,
        source_id="robot-01",
        cameras=["front"],
        reconnect=True,
        opener=gateway.open_stream,
    ) as viewer:
        with trio.move_on_after(300):
            async for _ in viewer:
                pass
    times = gateway.connected_at
    pauses = [later - earlier for earlier, later in pairwise(times)]
    assert len(pauses) >= 7
    for n, pause in enumerate(pauses):
        assert 0.75 * min(60, 2**n) - SOON <= pause <= 1.25 * min(60, 2**n) + SOON


async def test_viewer_reconnects_where_connection_broke_and_gateway_is_away_for_a_while(
    nursery: trio.Nursery, autojump_clock: trio.testing.MockClock
) -> None:
    gateway = ViewerGateway(nursery, vanishes, sends(frame(7), then=CloseCode.UNAUTHORIZED))
    refusals = [NotAGateway("The gateway is away.", "Wait.")] * 2

    async def opener(url: GatewayUrl) -> trio.abc.Stream:
        if gateway.connected_at and refusals:
            raise refusals.pop()
        return await gateway.open_stream(url)

    async with open_viewer(
        URL, api_key=KEY, source_id="robot-01", cameras=["front"], reconnect=True, opener=opener
    ) as viewer:
        events: list[ViewerEvent] = []
        with pytest.raises(Refused):
            await collect(viewer, events)
    notices = [event for event in events if isinstance(event, Reconnecting)]
    assert [notice.attempt for notice in notices] == [1, 2, 3]
    assert notices[0].cause == "The connection was lost."
    assert notices[1].cause == "The gateway is away. Wait."
    assert events[-1] == frame(7)


async def test_viewer_raises_connect_error_at_once_where_first_connection_fails(
    autojump_clock: trio.testing.MockClock,
) -> None:
    async def opener(url: GatewayUrl) -> trio.abc.Stream:
        raise NotAGateway("It is not.", "Look elsewhere.")

    with pytest.raises(ConnectError, match=r"It is not\. Look elsewhere\."):
        async with open_viewer(
            URL, api_key=KEY, source_id="robot-01", cameras=["front"], reconnect=True, opener=opener
        ):
            pytest.fail("connected")


# ── leaving ──────────────────────────────────────────────────────────────────────────────────


async def test_viewer_closes_properly_and_lets_exception_through_where_body_raises(
    nursery: trio.Nursery, autojump_clock: trio.testing.MockClock
) -> None:
    gateway = ViewerGateway(nursery, sends(frame(1)))

    async def fails_inside() -> None:
        async with open_viewer(
            URL, api_key=KEY, source_id="robot-01", cameras=["front"], opener=gateway.open_stream
        ) as viewer:
            await anext(viewer)
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        await fails_inside()
    await trio.testing.wait_all_tasks_blocked()
    assert gateway.closes == [CloseCode.NORMAL]


async def test_viewer_closes_properly_where_it_is_cancelled(
    nursery: trio.Nursery, autojump_clock: trio.testing.MockClock
) -> None:
    gateway = ViewerGateway(nursery, sends(frame(1)))
    with trio.move_on_after(30) as scope:
        async with open_viewer(
            URL, api_key=KEY, source_id="robot-01", cameras=["front"], opener=gateway.open_stream
        ) as viewer:
            async for _ in viewer:
                pass
    assert scope.cancelled_caught
    await trio.testing.wait_all_tasks_blocked()
    assert gateway.closes == [CloseCode.NORMAL]


async def test_viewer_leaves_in_bounded_time_where_gateway_never_answers_its_close(
    nursery: trio.Nursery, autojump_clock: trio.testing.MockClock
) -> None:
    scope = trio.CancelScope()

    async def freezes(connection: Connection[GatewayViewerSession]) -> None:
        await let_in(connection)
        scope.cancel()

    async def opener(url: GatewayUrl) -> trio.abc.Stream:
        ours, theirs = trio.testing.memory_stream_pair()

        async def serve() -> None:
            with scope:
                await gateway.serve(ours)

        nursery.start_soon(serve)
        return theirs

    gateway = ViewerGateway(nursery, freezes)
    async with open_viewer(
        URL, api_key=KEY, source_id="robot-01", cameras=["front"], opener=opener
    ) as viewer:
        await trio.sleep(1)
        began = trio.current_time()
    assert trio.current_time() - began <= 4 + SOON
    assert viewer.closed is not None


@pytest.mark.parametrize(
    ("values", "where"),
    [
        ({"source_id": "Robot 01"}, "source_id"),
        ({"cameras": []}, "camera_id"),
        ({"cameras": ["x" * 256]}, "camera_id"),
        ({"timeout": 0}, "timeout"),
    ],
)
async def test_viewer_raises_address_refused_where_no_gateway_could_serve_it(
    values: dict[str, object], where: str
) -> None:
    wanted: dict[str, object] = {"source_id": "robot-01", **values}
    with pytest.raises(AddressRefused) as caught:
        async with open_viewer(URL, api_key=KEY, **wanted):  # type: ignore[arg-type]
            pytest.fail("opened")
    assert caught.value.where == where
