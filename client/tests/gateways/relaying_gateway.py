"""A gateway of the core that relays, over TCP, and the commands that are tried on it as programs of their own."""

import os
import subprocess
import sys
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from functools import partial

import trio

from plexwire_protocol import (
    DEVICE_PATH,
    AuthReceived,
    CloseCode,
    Event,
    GatewayDeviceSession,
    GatewayViewerSession,
    MessageReceived,
    State,
    StreamAddress,
    VideoFrame,
)
from plexwire_trio import Connection, wrap_server_stream

KEY = "plx_test_key_of_the_command_line"
#: Seconds that a program gets on a busy machine.
PATIENCE_S = 20


class RelayingGateway:
    """Hands each device's frames to all viewers who asked for their camera."""

    def __init__(self) -> None:
        self.url = ""
        self.frames: list[VideoFrame] = []
        self.viewer_came = trio.Event()
        self.closes: list[int] = []
        self.viewers: list[Connection[GatewayViewerSession]] = []

    async def serve(self, stream: trio.SocketStream) -> None:
        try:
            async with trio.open_nursery() as nursery:
                request = await wrap_server_stream(nursery, stream)
                websocket = await request.accept()
                now = trio.current_time()
                if request.path == DEVICE_PATH:
                    device = Connection(GatewayDeviceSession(now=now), websocket)
                    close = await device.run(partial(self._device, device))
                else:
                    session = GatewayViewerSession(StreamAddress.parse(request.path), now=now)
                    viewer = Connection(session, websocket)
                    close = await viewer.run(partial(self._viewer, viewer))
                self.closes.append(close.code)
                nursery.cancel_scope.cancel()
        except* trio.BrokenResourceError:
            pass

    def _device(self, connection: Connection[GatewayDeviceSession], event: Event) -> None:
        now = trio.current_time()
        match event:
            case AuthReceived(message) if message.api_key == KEY:
                connection.session.grant(server_time_ms=0, now=now)
            case AuthReceived():
                connection.session.refuse(now=now)
            case MessageReceived(VideoFrame() as frame):
                self.frames.append(frame)
                for viewer in self.viewers:
                    wanted = frame.camera_id in viewer.session.address.cameras
                    if wanted and viewer.session.state is State.STREAMING:
                        viewer.session.send(frame, now=now)
                        viewer.flush_soon()
            case _:
                pass

    def _viewer(self, connection: Connection[GatewayViewerSession], event: Event) -> None:
        now = trio.current_time()
        match event:
            case AuthReceived(message) if message.api_key == KEY:
                connection.session.grant((), now=now)
                self.viewers.append(connection)
                self.viewer_came.set()
            case AuthReceived():
                connection.session.refuse(CloseCode.NO_API_ACCESS, now=now)
            case _:
                pass


@asynccontextmanager
async def relaying_gateway() -> AsyncGenerator[RelayingGateway, None]:
    gateway = RelayingGateway()
    async with trio.open_nursery() as nursery:
        with trio.fail_after(PATIENCE_S):
            listeners = await nursery.start(
                partial(trio.serve_tcp, gateway.serve, 0, host="127.0.0.1")
            )
            gateway.url = f"ws://127.0.0.1:{listeners[0].socket.getsockname()[1]}"
            yield gateway
        nursery.cancel_scope.cancel()


def command(name: str, *arguments: str) -> list[str]:
    program = f"from plexwire_client.commands.{name} import {name}; {name}()"
    return [sys.executable, "-c", program, *arguments]


def environment(**keys: str) -> dict[str, str]:
    kept = {name: value for name, value in os.environ.items() if not name.startswith("PLEXWIRE_")}
    return {**kept, **keys}


async def run(name: str, *arguments: str, api_key: str = KEY) -> subprocess.CompletedProcess[bytes]:
    return await trio.run_process(
        command(name, *arguments),
        env=environment(PLEXWIRE_API_KEY=api_key),
        capture_stdout=True,
        capture_stderr=True,
        check=False,
    )
