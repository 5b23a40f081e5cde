"""What a browser exported and what packets hold, judged by `plexwire judge`: real ones, and broken ones."""

import json
import os
import random
import shutil
import struct
import subprocess
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import pytest
from click.testing import CliRunner, Result

from plexwire_client.blocking import open_device
from plexwire_conformance.cli import main
from plexwire_conformance.faults import FAULTS, FaultyGateway
from plexwire_conformance.passive.har import read_har
from plexwire_conformance.pytest_plugin.trio_thread import TrioThread
from plexwire_conformance.recording.jsonlines import BadFile
from plexwire_conformance.wire.framing import accept_of, encode_message, handshake_request
from plexwire_conformance.wire.pictures import picture
from plexwire_conformance.wire.roles import auth_text

if TYPE_CHECKING:
    from playwright.sync_api import Browser

pytest_plugins = ("chromium",)

EXPORTER: Final = """async () => {
  const bundled = "devtools://devtools/bundled/models";
  const { Log } = await import(`${bundled}/har/har.js`);
  const { NetworkLog } = await import(`${bundled}/logs/logs.js`);
  const requests = NetworkLog.NetworkLog.instance().requests();
  return JSON.stringify({ log: await Log.Log.build(requests, { sanitize: false }) });
}"""
#: A key that looks like no key of the system, and must be kept out of reports all the same.
OTHER_KEY: Final = "a key of another kind, 4711"


def judge(path: Path) -> Result:
    return CliRunner().invoke(main, ["judge", str(path)])


# ── what a browser exports ───────────────────────────────────────────────────────────────────


@pytest.fixture
def serve() -> Iterator[Callable[[FaultyGateway], tuple[str, FaultyGateway]]]:
    """Serve gateways on loopback ports for the time of a test."""
    from plugin_bench import start

    with TrioThread() as thread:
        yield lambda gateway: (start(thread, gateway)[0], gateway)


def exported(browser: "Browser", url: str, key: str, port: int) -> str:
    """Watch a camera in a real Chromium, and return what its developer tools export."""
    page, tools = browser.new_page(), browser.new_page()
    try:
        session = page.context.new_cdp_session(page)
        target = session.send("Target.getTargetInfo")["targetInfo"]["targetId"]
        place = f"ws=127.0.0.1:{port}/devtools/page/{target}"
        tools.goto(f"devtools://devtools/bundled/devtools_app.html?{place}", wait_until="commit")
        tools.wait_for_timeout(3000)
        address = json.dumps(f"{url}/v1/sources/robot-01/video/stream?camera_id=front")
        auth = json.dumps(auth_text(key))
        page.set_content(
            f"<script>const s = new WebSocket({address}); s.onopen = () => s.send({auth});</script>"
        )
        page.wait_for_timeout(1500)
        return str(tools.evaluate(EXPORTER))
    finally:
        for each in (page, tools):
            each.context.close()


@pytest.fixture(scope="module")
def debugged() -> "Iterator[tuple[Browser, int]]":
    """A Chromium whose developer tools can be opened from another tab, and the port for them."""
    from chromium import CHROMIUM, CHROMIUM_OPTIONS, not_here
    from playwright.sync_api import sync_playwright
    from plugin_bench import closed_port

    if shutil.which(CHROMIUM) is None:
        not_here(f"there is no {CHROMIUM}")
    port = int(closed_port().rpartition(":")[2])
    options = [f"--remote-debugging-port={port}", "--remote-allow-origins=*"]
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(
            executable_path=CHROMIUM, args=[*CHROMIUM_OPTIONS, *options]
        )
        yield browser, port
        browser.close()


@pytest.mark.parametrize(
    ("fault_id", "check"), [("", ""), ("frames.url-safe-base64", "PW-FRAME-11/bad-base64")]
)
def test_har_of_a_real_chromium_is_judged(
    serve: Callable[[FaultyGateway], tuple[str, FaultyGateway]],
    debugged: "tuple[Browser, int]",
    tmp_path: Path,
    fault_id: str,
    check: str,
) -> None:
    url, gateway = serve(FAULTS[fault_id].build() if fault_id else FaultyGateway())
    given = gateway.given
    with open_device(url, api_key=given.device_key, source_id="robot-01") as device:
        stop = threading.Event()

        def send() -> None:
            number = 0
            while not stop.wait(0.05):
                number += 1
                device.send_video_frame(picture(f"number {number}", 5000), "front")

        sending = threading.Thread(target=send)
        sending.start()
        try:
            text = exported(*debugged[:1], url, given.api_key, debugged[1])
        finally:
            stop.set()
            sending.join()
    file = tmp_path / "page.har"
    file.write_text(text, "utf-8")
    assert given.api_key in text
    done = judge(file)
    assert given.api_key not in done.output
    assert done.exit_code == (1 if check else 0), done.output
    assert (check or "1 conversation, ") in done.stdout


def har(*messages: tuple[str, Any], target: str = "?camera_id=front") -> str:
    """Return a HAR with one WebSocket, and these messages in it."""
    entry = {
        "startedDateTime": "2026-11-27T12:00:00.000Z",
        "request": {
            "url": f"wss://gateway.example/base/v1/sources/robot-01/video/stream{target}",
            "headers": [{"name": "Upgrade", "value": "websocket"}],
        },
        "_webSocketMessages": [
            {
                "type": way,
                "time": 1795780800.5 + number,
                "opcode": 1,
                "data": data if isinstance(data, str) else json.dumps(data),
            }
            for number, (way, data) in enumerate(messages)
        ],
    }
    return json.dumps({"log": {"version": "1.2", "entries": [{"request": {}}, entry]}})


AUTH: Final = ("send", {"type": "auth", "api_key": OTHER_KEY})
INIT: Final = ("receive", {"type": "init", "online_sources": []})


@pytest.mark.parametrize(
    ("text", "check"),
    [
        (har(AUTH, INIT), ""),
        (har(AUTH, INIT, INIT), "PW-INIT-1/second-init"),
        (har(INIT, AUTH), "PW-AUTH-10/message-before-auth"),
        (har(("send", {"type": "hello"}), INIT), "PW-AUTH-1/other-message"),
        (har(AUTH, ("receive", "{")), "PW-FRAME-1/not-json"),
        (har(AUTH, INIT, target="?key=plx_0123456789"), "PW-ADDR-14/key-in-url"),
        (har(AUTH, INIT, ("receive", {"type": "error", "key": OTHER_KEY})), ""),
    ],
)
def test_har_is_judged_on_both_sides_and_no_key_is_shown(
    tmp_path: Path, text: str, check: str
) -> None:
    file = tmp_path / "page.har"
    file.write_text(text, "utf-8")
    done = judge(file)
    assert done.exit_code == (1 if check else 0), done.output
    assert check in done.stdout
    assert OTHER_KEY not in done.output
    assert "plx_0123456789" not in done.output


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ('{"log": {"entries": []}}', "holds no messages of a WebSocket"),
        ('{"log": 7}', "is no HAR"),
        ('{"log": {"entries": [{"_webSocketMessages": [{}]}]}}', "is no HAR"),
        ('{"log": ' * 100_000, "is no HAR"),
    ],
)
def test_har_that_is_none_is_told(text: str, words: str, tmp_path: Path) -> None:
    file = tmp_path / "page.har"
    file.write_text(text, "utf-8")
    done = judge(file)
    assert done.exit_code == 2
    assert words in done.stderr
    with pytest.raises(BadFile):
        read_har(text, "page.har")


# ── packets ──────────────────────────────────────────────────────────────────────────────────

CLIENT, GATEWAY = 40_000, 8700


def needs_tshark() -> str:
    tshark = shutil.which("tshark")
    if tshark is None:
        if os.environ.get("CI"):
            pytest.fail("there is no tshark, and CI is set", pytrace=False)
        pytest.skip("there is no tshark")
    return tshark


def segments(*said: tuple[int, bytes]) -> list[bytes]:
    """Return the IP packets in which both sides said this, in pieces of at most 500 bytes."""
    sequence = {CLIENT: 1, GATEWAY: 1}
    packets = []
    for port, data in said:
        for at in range(0, len(data), 500):
            piece = data[at : at + 500]
            packets.append(packet(port, sequence[port], piece))
            sequence[port] += len(piece)
    return packets


def packet(port: int, sequence: int, data: bytes) -> bytes:
    there = GATEWAY if port == CLIENT else CLIENT
    tcp = struct.pack(">HHIIBBHHH", port, there, sequence, 1, 5 << 4, 0x18, 65535, 0, 0) + data
    address = bytes((127, 0, 0, 1))
    head = struct.pack(">BBHHHBBH4s4s", 0x45, 0, 20 + len(tcp), 0, 0, 64, 6, 0, address, address)
    return head + tcp


def capture(packets: list[bytes], path: Path) -> Path:
    """Write *packets* as a pcap of raw IP."""
    parts = [struct.pack("<IHHiIII", 0xA1B2C3D4, 2, 4, 0, 0, 65535, 101)]
    for number, each in enumerate(packets):
        parts += [struct.pack("<IIII", 1_795_780_800, number * 1000, len(each), len(each)), each]
    path.write_bytes(b"".join(parts))
    return path


def talk(*from_gateway: Any) -> list[tuple[int, bytes]]:
    """Return what both sides say: a handshake, an auth, and then these messages."""
    target = "/v1/sources/robot-01/video/stream?camera_id=front"
    request = handshake_request(target, "gateway.example")
    answer = (
        "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
        f"Sec-WebSocket-Accept: {accept_of('x')}\r\n\r\n"
    )
    said = [(CLIENT, request), (GATEWAY, answer.encode())]
    said.append((CLIENT, b"".join(encode_message(auth_text(OTHER_KEY)))))
    for message in from_gateway:
        said.append((GATEWAY, b"".join(encode_message(json.dumps(message), mask=None))))
    return said


SOUND: Final = talk({"type": "init", "online_sources": []}, {"type": "unknown", "pad": "x" * 3000})
TWICE: Final = talk({"type": "init", "online_sources": []}, {"type": "init", "online_sources": []})


def test_capture_is_judged(tmp_path: Path) -> None:
    needs_tshark()
    sound = judge(capture(segments(*SOUND), tmp_path / "sound.pcap"))
    assert sound.exit_code == 0, sound.output
    assert "1 conversation, 0 frames: nothing broken." in sound.stdout
    twice = judge(capture(segments(*TWICE), tmp_path / "twice.pcap"))
    assert twice.exit_code == 1
    assert "PW-INIT-1/second-init" in twice.stdout
    assert OTHER_KEY not in twice.output


@pytest.mark.parametrize("seed", range(4))
def test_packets_that_came_late_or_twice_make_no_difference(tmp_path: Path, seed: int) -> None:
    needs_tshark()
    drawn = random.Random(seed)
    packets = segments(*SOUND)
    for place in range(3, len(packets) - 1):
        if drawn.random() < 0.4:
            packets[place], packets[place + 1] = packets[place + 1], packets[place]
        if drawn.random() < 0.3:
            packets.insert(place + 1, packets[place])
    done = judge(capture(packets, tmp_path / "rough.pcap"))
    assert done.exit_code == 0, done.output


def test_packets_that_are_missing_are_nobodys_fault(tmp_path: Path) -> None:
    needs_tshark()
    packets = segments(*SOUND)
    done = judge(capture([*packets[:5], *packets[6:]], tmp_path / "lossy.pcap"))
    assert done.exit_code == 0, done.output


@pytest.mark.parametrize(
    "said", [[(CLIENT, b"\x16\x03\x01\x02\x00 hello"), (GATEWAY, b"\x16\x03\x03")], []]
)
def test_capture_without_a_plain_websocket_is_told(
    tmp_path: Path, said: list[tuple[int, bytes]]
) -> None:
    needs_tshark()
    done = judge(capture(segments(*said), tmp_path / "tls.pcap"))
    assert done.exit_code == 2
    assert "holds no plain WebSocket from its beginning" in done.stderr


def test_capture_that_is_damaged_or_cannot_be_read_is_told(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    needs_tshark()
    file = tmp_path / "damaged.pcap"
    file.write_bytes(b"\xd4\xc3\xb2\xa1\x02")
    done = judge(file)
    assert done.exit_code == 2
    assert "tshark can't read damaged.pcap" in done.stderr
    monkeypatch.setenv("PATH", str(tmp_path))
    assert "apt-get install tshark" in judge(file).stderr


def test_packets_of_a_real_conversation_are_judged(
    serve: Callable[[FaultyGateway], tuple[str, FaultyGateway]], tmp_path: Path
) -> None:
    tshark = needs_tshark()
    url, gateway = serve(FAULTS["init.twice"].build())
    file = tmp_path / "real.pcap"
    port = url.rpartition(":")[2]
    command = [tshark, "-i", "lo", "-f", f"tcp port {port}", "-w", str(file), "-q"]
    with subprocess.Popen(command, stderr=subprocess.PIPE, text=True) as capturing:
        assert capturing.stderr is not None
        for line in capturing.stderr:
            if "Capturing on" in line:
                break
        else:
            pytest.skip("packets can't be captured here")
        time.sleep(0.5)
        from plexwire_client.blocking import open_viewer

        with (
            open_device(url, api_key=gateway.given.device_key, source_id="robot-01") as device,
            open_viewer(
                url, api_key=gateway.given.api_key, source_id="robot-01", cameras=["front"]
            ) as viewer,
        ):
            device.send_video_frame(picture("one"), "front")
            assert viewer.next_frame(timeout=10) is not None
        time.sleep(1.0)
        capturing.terminate()
        capturing.wait(20)
    done = judge(file)
    assert done.exit_code == 1, done.output
    assert "PW-INIT-1/second-init" in done.stdout
    assert "2 conversations, 1 frame: 1 documented promise broken." in done.stdout
    for key in (gateway.given.device_key, gateway.given.api_key):
        assert key not in done.output
