"""WebSocket conversations in a HAR, the file that the network panel of a browser exports."""

import base64
import binascii
import json
from collections.abc import Iterator, Mapping
from datetime import datetime
from typing import Any, Final
from urllib.parse import urlsplit

from plexwire_conformance.passive.heard import Heard
from plexwire_conformance.passive.stored import Saying
from plexwire_conformance.recording.jsonlines import BadFile
from plexwire_conformance.recording.recorder import Way
from plexwire_conformance.wire.served_peer import HandshakeRequest

_MESSAGES: Final = "_webSocketMessages"
_WAYS: Final = {"send": Way.SENT, "receive": Way.RECEIVED}
_TEXT, _BINARY = 1, 2


def read_har(text: str, name: str) -> list[Saying]:
    """Return what was said in the HAR *text*, which messages call *name*, in the order of time.

    Raises:
        BadFile: it is no HAR, or one without the messages of any WebSocket.
    """
    try:
        entries = json.loads(text)["log"]["entries"]
        sayings = [
            saying
            for number, entry in enumerate(entries, 1)
            if _MESSAGES in entry
            for saying in _sayings(entry, f"connection {number}")
        ]
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
        raise BadFile(f"{name} is no HAR: {type(error).__name__}: {error}") from None
    if not sayings:
        raise BadFile(
            f"{name} holds no messages of a WebSocket. Open the network panel before the page connects, and export "
            "“HAR with content”"
        )
    return sorted(sayings, key=lambda saying: saying.at)


def _sayings(entry: Mapping[str, Any], name: str) -> Iterator[Saying]:
    heard = Heard(name)
    url = urlsplit(entry["request"]["url"])
    target = f"{url.path}?{url.query}" if url.query else url.path
    headers = {h["name"].lower(): h["value"] for h in entry["request"].get("headers", ())}
    began = datetime.fromisoformat(entry["startedDateTime"].replace("Z", "+00:00")).timestamp()
    request = HandshakeRequest(target, headers)
    yield Saying(began, heard, lambda at: [heard.open(request, at)])
    for message in entry[_MESSAGES]:
        way, data = _WAYS.get(message["type"]), message["data"]
        if way is None or not isinstance(data, str):
            continue
        at = float(message["time"])
        if message["opcode"] == _TEXT:
            yield _text(at, heard, way, data)
        elif message["opcode"] == _BINARY:
            yield _binary(at, heard, way, data)


def _text(at: float, heard: Heard, way: Way, data: str) -> Saying:
    return Saying(at, heard, lambda at: [heard.text(way, data, at)])


def _binary(at: float, heard: Heard, way: Way, data: str) -> Saying:
    try:
        payload = base64.b64decode(data, validate=True)
    except binascii.Error:
        payload = data.encode()
    return Saying(at, heard, lambda at: [heard.binary(way, payload, at)])
