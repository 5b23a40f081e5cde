"""The devices of a run, in a process of their own: prepared frames in which only the timestamp changes."""

import os
import socket
import struct
import time
from typing import Final

from attrs import define

from plexwire_bench.board import Board
from plexwire_bench.endpoint import Endpoint
from plexwire_bench.frames import BINARY, client_frame
from plexwire_bench.plans import Plan
from plexwire_bench.viewers import CAMERAS, answer_pings, connect, say, source_of

#: Picture number n is stamped with this plus n.
FIRST_STAMP: Final = 1_750_000_000_000

#: Frames that a device may be ahead of its viewers in mode window.
_WINDOW: Final = 2
#: Pictures after which a device looks for pings: every second or two where time matters.
_SENDS_PER_LOOK: Final = 30


@define
class _Camera:
    """A camera's frame with a place for the stamp, and the connection that it goes to."""

    socket: socket.socket
    frame: bytearray
    stamp_at: int
    stamp_mask: int

    def send(self, stamp: int) -> None:
        struct.pack_into(">Q", self.frame, self.stamp_at, stamp ^ self.stamp_mask)
        self.socket.sendall(self.frame)


def _open(endpoint: Endpoint, number: int, api_key: str, plan: Plan) -> list[_Camera]:
    connection = connect(endpoint, "/ws/device")
    source = source_of(number)
    auth = {
        "type": "device_auth",
        "api_key": api_key,
        "source_id": source,
        "platform": "bench",
        "agent_version": "0",
    }
    say(connection, auth, "authenticated")
    connection.settimeout(None)
    return [
        _camera(connection, source, camera, plan.jpeg_bytes) for camera in CAMERAS[: plan.cameras]
    ]


def _camera(connection: socket.socket, source: str, camera: str, jpeg_bytes: int) -> _Camera:
    ids = b"".join(bytes((len(name),)) + name.encode() for name in (source, camera))
    head = b"\x01" + ids + struct.pack(">II", 1280, 720)
    picture = b"\xff\xd8\xff\xe0" + os.urandom(jpeg_bytes - 6) + b"\xff\xd9"
    key = os.urandom(4)
    payload = head + bytes(8) + picture
    frame = bytearray(client_frame(BINARY, payload, key))
    # The payload of a masked frame is XORed with its key, over and over.
    turned = (key * 3)[len(head) % 4 :][:8]
    stamp_at = len(frame) - len(payload) + len(head)
    return _Camera(connection, frame, stamp_at, int.from_bytes(turned, "big"))


def run_devices(endpoint: Endpoint, plan: Plan, api_key: str, fps: float, board: Board) -> None:
    """Authenticate all devices of *plan*, and send in turn until the board says stop.

    Raises:
        Gone: a device was refused.

    """
    devices = [_open(endpoint, number, api_key, plan) for number in range(plan.devices)]
    cameras = [camera for of_all in zip(*devices, strict=True) for camera in of_all]
    board.ready = 1
    board.wait_for_go()
    begin = time.monotonic()
    window = (_WINDOW * plan.devices - 1) * plan.viewers
    number = missed = 0
    while not board.stop:
        if plan.mode == "window":
            while number * plan.viewers - board.delivered - missed > window and not board.stop:
                if not board.wait_for_credit(0.25):
                    # What the gateway dropped will not be read any more: go on without it.
                    missed = number * plan.viewers - int(board.delivered)
        elif plan.mode != "flood":
            pause = begin + number / (fps * len(cameras)) - time.monotonic()
            if pause > 0:
                time.sleep(pause)
        board.note_send(number, time.monotonic())
        cameras[number % len(cameras)].send(FIRST_STAMP + number)
        number += 1
        if number % _SENDS_PER_LOOK == 0:
            for camera in cameras:
                answer_pings(camera.socket)
        board.sent = number
        board.devices_cpu = time.process_time()
