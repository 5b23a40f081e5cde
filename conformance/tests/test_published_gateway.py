"""The published system in `gateways/` does what is known of it: seen by a bare client of another library."""

import base64
import contextlib
import json
import socket
import time
from collections.abc import Iterator
from typing import Any

import pytest
from published_process import (
    AUTH,
    FOREIGN,
    HOME,
    JPEG,
    NO_ACCESS,
    REVOKED,
    SILENCE,
    SOON,
    System,
    binary,
    heard,
    running,
)
from websockets.exceptions import ConnectionClosed, InvalidStatus
from websockets.frames import Frame, Opcode
from websockets.sync.client import ClientConnection


@pytest.fixture
def system() -> Iterator[System]:
    with running() as one:
        yield one


def everything(ws: ClientConnection, within: float = SILENCE) -> list[dict[str, Any]]:
    """Return what comes until nothing does."""
    messages = []
    with contextlib.suppress(TimeoutError):
        while True:
            messages.append(heard(ws, within))
    return messages


def types(messages: list[dict[str, Any]]) -> list[str]:
    return [message["type"] for message in messages]


def ending(ws: ClientConnection) -> int:
    """Return the close code that a client sees."""
    try:
        while True:
            ws.recv(SOON)
    except ConnectionClosed as closed:
        return closed.rcvd.code if closed.rcvd is not None else 1006


# ── init ─────────────────────────────────────────────────────────────────────────────────────


def test_api_lists_nulls_and_objects_of_the_whole_organisation(system: System) -> None:
    with system.connect(system.address("none")) as ws:
        ws.send(AUTH)
        assert heard(ws) == {"type": "init", "online_sources": None}
    with system.device("one") as one, system.device("two"), system.device("three", FOREIGN):
        one.send(binary("front"))
        one.send(json.dumps({"type": "ignored"}))
        assert heard(one)["type"] == "error"
        with system.connect(system.address("one")) as ws:
            ws.send(AUTH)
            assert heard(ws)["online_sources"] == [
                {
                    "source_id": "one",
                    "platform": None,
                    "sensors": None,
                    "cameras": [{"camera_id": "front", "video_type": "rgb"}],
                },
                {"source_id": "two", "platform": None, "sensors": None, "cameras": None},
            ]


def test_api_sends_a_second_init_after_it_lost_the_gateway(system: System) -> None:
    with system.viewer("one") as ws:
        system.ask("lose-upstreams")
        assert heard(ws) == {
            "type": "gateway_reconnecting",
            "attempt": 1,
            "max_attempts": 5,
            "delay_s": 1.0,
        }
        assert heard(ws)["type"] == "init"


# ── the first message ────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize(
    "first",
    [AUTH.encode(), "auth", f"[{AUTH}]", "null", '{"type": "auth", "api_key": 1}', AUTH[:-1]],
)
def test_api_drops_tcp_when_it_cannot_read_the_first_message(
    system: System, first: str | bytes
) -> None:
    with system.connect(system.address("one")) as ws:
        ws.send(first)
        assert ending(ws) == 1006


@pytest.mark.parametrize(
    ("first", "code"),
    [
        ('{"type": "hello"}', 4001),
        ('{"type": "auth"}', 4001),
        ('{"type": "auth", "api_key": "plx_nobody"}', 4001),
        (json.dumps({"type": "auth", "api_key": NO_ACCESS}), 4002),
    ],
)
def test_api_closes_with_a_code_when_it_can_read_the_first_message(
    system: System, first: str, code: int
) -> None:
    with system.connect(system.address("one")) as ws:
        ws.send(first)
        assert ending(ws) == code


def test_api_loses_an_auth_that_comes_with_the_handshake(system: System) -> None:
    auth = Frame(Opcode.TEXT, AUTH.encode()).serialize(mask=True)
    with socket.create_connection(("127.0.0.1", system.api)) as tcp:
        tcp.settimeout(SOON)
        head = (
            f"GET {system.address('one')} HTTP/1.1\r\nHost: localhost\r\nUpgrade: websocket\r\n"
            "Connection: Upgrade\r\nSec-WebSocket-Version: 13\r\n"
            "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n"
        )
        tcp.sendall(head.encode() + auth)
        assert b" 101 " in tcp.recv(4096)
        tcp.settimeout(SILENCE)
        with pytest.raises(TimeoutError):
            tcp.recv(4096)
        tcp.sendall(auth)
        assert b'"init"' in tcp.recv(4096)


def test_both_hosts_accept_a_revoked_key_that_they_have_seen_before(system: System) -> None:
    with system.connect(system.address("one")) as ws:
        ws.send(json.dumps({"type": "auth", "api_key": REVOKED}))
        assert heard(ws)["type"] == "init"
    with system.device("one", REVOKED), system.viewer("one"), system.device("two"):
        system.ask(f"revoke {HOME}")
    with system.viewer("one"), system.device("one"):
        pass
    # Neither host has seen this one.
    system.ask(f"revoke {FOREIGN}")
    with system.connect(system.address("one")) as ws:
        ws.send(json.dumps({"type": "auth", "api_key": FOREIGN}))
        assert ending(ws) == 4001


# ── addresses ────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize(
    "target",
    [
        "/plexwire",
        "/ws/device",
        "/v1/sources/one/video/streams",
        "/v1/sources/one/video/stream?timeout=1.5",
        "/v1/sources/one/video/stream?timeout=soon",
        "/v1/sources/one/video/stream?timeout=",
    ],
)
def test_api_refuses_with_403_when_it_knows_no_such_address(system: System, target: str) -> None:
    with pytest.raises(InvalidStatus) as refused:
        system.connect(target)
    assert refused.value.response.status_code == 403


@pytest.mark.parametrize("seconds", [0, -1])
def test_api_closes_with_4008_at_once_when_the_timeout_is_not_positive(
    system: System, seconds: int
) -> None:
    with system.connect(system.address("one", f"?timeout={seconds}")) as ws:
        ws.send(AUTH)
        assert ending(ws) == 4008


@pytest.mark.parametrize("camera", ["%zz", "%", "%ff"])
def test_api_accepts_an_address_with_a_bad_escape(system: System, camera: str) -> None:
    with system.viewer("one", f"?camera_id={camera}", settled=False):
        pass


# ── frames ───────────────────────────────────────────────────────────────────────────────────


def test_gateway_sends_a_camera_without_viewers_to_all_viewers_of_its_source(
    system: System,
) -> None:
    with system.device("one") as device, system.viewer("one") as front, system.viewer("two") as two:
        device.send(binary("rear"))
        assert heard(front)["camera_id"] == "rear"
        with system.viewer("one", "?camera_id=rear"):
            device.send(binary("rear"))
            device.send(binary("front"))
            assert heard(front)["camera_id"] == "front"
        assert everything(two) == []


def test_new_viewer_gets_frames_of_other_sources_and_misses_its_own(system: System) -> None:
    with (
        system.device("one") as one,
        system.device("two") as two,
        system.viewer("one") as watching,
        system.viewer("one", settled=False) as new,
    ):
        one.send(binary("front", 1))
        two.send(binary("front", 2))
        assert heard(watching)["timestamp"] == 1
        assert [(frame["source_id"], frame["timestamp"]) for frame in everything(new)] == [
            ("two", 2)
        ]
        one.send(binary("front", 3))
        two.send(binary("front", 4))
        assert [frame["timestamp"] for frame in everything(new)] == [3]


def test_gateway_relays_a_text_frame_as_it_came(system: System) -> None:
    picture = base64.b64encode(JPEG).decode()
    sent = (
        f'{{ "width":6.40e2,"frame" : "{picture}","height": 480.0,'
        '"timestamp":1, "camera_id":"front","type":"video_frame","mine":[1,null]}'
    )
    with system.device("one") as device, system.viewer("one") as ws:
        device.send(sent)
        assert ws.recv(SOON) == sent


def test_gateway_repackages_a_binary_frame_without_extra_members(system: System) -> None:
    with system.device("one") as device, system.viewer("one") as ws:
        device.send(binary("front"))
        assert heard(ws) == {
            "type": "video_frame",
            "source_id": "one",
            "camera_id": "front",
            "frame": base64.b64encode(JPEG).decode(),
            "width": 640,
            "height": 480,
            "timestamp": 1,
        }


def test_api_loses_its_upstream_to_a_jpeg_whose_text_is_over_a_mebibyte(system: System) -> None:
    largest, broken = (JPEG + b"\0" * (size - len(JPEG)) for size in (750_000, 787_000))
    with system.device("one") as device, system.viewer("one") as ws:
        device.send(binary("front", 1, largest))
        assert heard(ws)["timestamp"] == 1
        device.send(binary("front", 2, broken))
        assert heard(ws)["type"] == "gateway_reconnecting"
        assert heard(ws)["type"] == "init"
        system.settle(ws)
        device.send(binary("front", 3))
        assert heard(ws)["timestamp"] == 3


def test_slow_viewer_keeps_the_oldest_frames_and_loses_the_newest(system: System) -> None:
    sent, large = 400, JPEG + b"\0" * 200_000
    with system.device("one") as device, system.viewer("one") as ws:
        for number in range(sent):
            device.send(binary("front", number, large))
        device.send("an error answers this")
        assert heard(device)["type"] == "set_throttle"
        assert heard(device)["code"] == "INVALID_JSON"
        came = [frame["timestamp"] for frame in everything(ws, 1.0)]
        # On a busy machine a place may be free again while the last ones are sent.
        assert came[:128] == list(range(128))
        assert came == sorted(set(came))
        assert len(came) < sent
        device.send(binary("front", sent))
        assert heard(ws)["timestamp"] == sent


# ── leftovers ────────────────────────────────────────────────────────────────────────────────


def test_api_does_not_notice_that_a_viewer_has_gone_while_no_frame_flows(system: System) -> None:
    with system.device("one") as device:
        with system.viewer("one"):
            pass
        assert system.open() == {"viewers": 1, "upstreams": 1, "devices": 1}
        assert not system.becomes({"devices": 1}, within=SILENCE)
        device.send(binary("front"))
        device.send(binary("front"))
        assert system.becomes({"devices": 1})
        with system.viewer("one", "?timeout=1"):
            pass
        assert system.open() == {"viewers": 1, "upstreams": 1, "devices": 1}
        assert system.becomes({"devices": 1})


# ── devices ──────────────────────────────────────────────────────────────────────────────────


def test_gateway_drops_the_first_connection_of_a_device_for_the_second(system: System) -> None:
    with system.device("one") as first, system.viewer("one") as ws, system.device("one") as second:
        assert ending(first) == 1006
        assert heard(ws) == {"type": "source_status", "source_id": "one", "status": "online"}
        second.send(binary("front"))
        assert heard(ws)["type"] == "video_frame"


@pytest.mark.parametrize(
    "first",
    [
        "device_auth",
        '{"type": "heartbeat"}',
        '{"type": "device_auth", "api_key": "plx_nobody", "source_id": "one"}',
        json.dumps({"type": "device_auth", "api_key": NO_ACCESS, "source_id": "one"}),
        json.dumps({"type": "device_auth", "api_key": HOME, "source_id": "No source"}),
    ],
)
def test_gateway_refuses_a_device_by_an_error_without_code(system: System, first: str) -> None:
    with system.connect("/ws/device", system.gateway) as ws:
        ws.send(first)
        answer = heard(ws)
        assert (answer["type"], "code" in answer) == ("error", False)
        assert ending(ws) == 1008


@pytest.mark.parametrize(
    ("message", "code"),
    [
        ('{"type": "from_the_future"}', "INVALID_MESSAGE"),
        ("[]", "INVALID_MESSAGE"),
        ('{"type": "video_frame", "camera_id": "front"}', "INVALID_MESSAGE"),
        ("{", "INVALID_JSON"),
        ('{"type": "telemetry", "points": [NaN]}', "INVALID_JSON"),
        ('{"type": "video_frame", "camera_id": "x", "frame": "%%%"}', "INVALID_FRAME_ENCODING"),
        (b"", "INVALID_FRAME_ENCODING"),
        (binary("front")[:12], "INVALID_FRAME_ENCODING"),
        (binary("front", version=2), "INVALID_FRAME_ENCODING"),
        (binary("front", jpeg=b"GIF89a"), "INVALID_FRAME_ENCODING"),
    ],
)
def test_gateway_answers_what_it_cannot_use_by_an_error_and_stays(
    system: System, message: str | bytes, code: str
) -> None:
    with system.viewer("one") as ws, system.device("one") as device:
        device.send(message)
        answer = heard(device)
        assert (answer["type"], answer["code"]) == ("error", code)
        device.send(binary("front"))
        assert types(everything(ws)) == ["source_status", "video_frame"]


def test_gateway_limits_the_rate_of_a_device(system: System) -> None:
    with system.device("one") as device:
        for _ in range(4000):
            device.send('{"type": "heartbeat"}')
        answers = everything(device)
        assert {answer["code"] for answer in answers} == {"RATE_LIMITED"}
        assert len(answers) <= 2000


def test_gateway_says_so_when_a_viewer_subscribes(system: System) -> None:
    with system.device("one") as device, system.viewer("one"):
        assert heard(device) == {"type": "set_throttle", "max_fps": 30}


# ── options ──────────────────────────────────────────────────────────────────────────────────


def test_system_serves_both_hosts_on_one_port_when_asked_to() -> None:
    with running("--one-port") as system:
        assert system.api == system.gateway
        with system.device("one") as device, system.viewer("one") as ws:
            device.send(binary("front"))
            assert heard(ws)["type"] == "video_frame"


def test_gateway_turns_devices_away_without_redis() -> None:
    with running("--without-redis") as system, system.connect("/ws/device", system.gateway) as ws:
        ws.send(json.dumps({"type": "device_auth", "api_key": HOME, "source_id": "one"}))
        assert heard(ws)["code"] == "REDIS_UNAVAILABLE"
        assert ending(ws) == 1013


def test_system_takes_its_time_over_a_key_when_asked_to() -> None:
    with running("--key-check", "0.5") as system:
        for least in (0.5, 0.0):
            began = time.monotonic()
            with system.viewer("one", settled=False):
                assert least <= time.monotonic() - began < least + 0.5


def test_system_counts_connections_now_and_ever(system: System) -> None:
    with system.device("one") as device, system.viewer("one") as ws:
        device.send(binary("front"))
        assert heard(ws)["type"] == "video_frame"
        counters = system.ask("")
    assert counters == {
        "open": {"viewers": 1, "upstreams": 1, "devices": 1},
        "ever": {"viewers": 1, "upstreams": 1, "devices": 1},
        "reconnects": 0,
    }


def test_system_ends_when_its_reader_is_gone() -> None:
    with running() as system, system.device("one"), system.viewer("one"):
        if system.process.stdin is None or system.process.stdout is None:
            raise AssertionError("no pipes, though they were asked for")
        system.process.stdout.close()
        system.process.stdin.close()
        assert system.process.wait(SOON) != 0
        system.process.stdin = system.process.stdout = None
