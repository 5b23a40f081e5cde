"""Live sources on loopback for `stream_camera`: an HTTP camera of our own, and an RTSP one by GStreamer."""

import subprocess
from collections.abc import AsyncGenerator, Iterable
from contextlib import asynccontextmanager
from functools import partial
from itertools import count
from pathlib import Path
from typing import Final

import trio

from judging import PATIENCE_S
from pictures import Pictures
from processes import ending

#: Debian's packages for it are made for Debian's Python.
SYSTEM_PYTHON: Final = "/usr/bin/python3"
RTSP_PACKAGES: Final = "gir1.2-gst-rtsp-server-1.0 python3-gi"

_RTSP_SERVER: Final = Path(__file__).with_name("rtsp_server.py")
#: Faster than a camera: the SDK reads 64 KiB at a time, whatever the size of a picture.
_PICTURES_PER_SECOND: Final = 100
_HEAD: Final = (
    b"HTTP/1.0 200 OK\r\nContent-Type: multipart/x-mixed-replace;boundary=picture\r\n\r\n"
)


def has_rtsp() -> bool:
    """Whether GStreamer's RTSP server is installed."""
    probe = "import gi; gi.require_version('GstRtspServer', '1.0')"
    try:
        done = subprocess.run([SYSTEM_PYTHON, "-c", probe], stderr=subprocess.DEVNULL, check=False)
    except OSError:
        return False
    return done.returncode == 0


@asynccontextmanager
async def http_camera(
    pictures: Pictures, *, shows: Iterable[int] | None = None
) -> AsyncGenerator[str, None]:
    """Serve pictures as network cameras do, and yield the URL; after those in *shows* it falls silent."""
    async with trio.open_nursery() as nursery:
        serve = partial(trio.serve_tcp, partial(_play, pictures, shows), 0, host="127.0.0.1")
        [listener] = await nursery.start(serve)
        yield f"http://127.0.0.1:{listener.socket.getsockname()[1]}/live.mjpeg"
        nursery.cancel_scope.cancel()


async def _play(pictures: Pictures, shows: Iterable[int] | None, stream: trio.SocketStream) -> None:
    try:
        await stream.receive_some()
        await stream.send_all(_HEAD)
        for counter in count() if shows is None else shows:
            jpeg = pictures.jpeg(counter).read_bytes()
            head = f"--picture\r\nContent-Type: image/jpeg\r\nContent-Length: {len(jpeg)}\r\n\r\n"
            await stream.send_all(head.encode() + jpeg + b"\r\n")
            await trio.sleep(1 / _PICTURES_PER_SECOND)
        await trio.sleep_forever()
    except trio.BrokenResourceError:
        pass  # it has seen enough


@asynccontextmanager
async def rtsp_camera(pictures: Pictures) -> AsyncGenerator[str, None]:
    """Run GStreamer's RTSP server, and yield the URL."""
    command = [SYSTEM_PYTHON, str(_RTSP_SERVER), str(pictures.camera)]
    process = await trio.lowlevel.open_process(
        command, stdin=subprocess.PIPE, stdout=subprocess.PIPE
    )
    assert process.stdin is not None
    assert process.stdout is not None
    async with ending(process), process.stdin, process.stdout:
        with trio.fail_after(PATIENCE_S):
            url = (await process.stdout.receive_some()).decode().strip()
        yield url
