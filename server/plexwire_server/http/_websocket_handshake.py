"""The WebSocket handshake: which requests are one."""

from base64 import b64decode
from http import HTTPStatus

from attrs import field, frozen

from plexwire_protocol import StreamAddress
from plexwire_server.http._request import Request, RequestRefused


@frozen
class Upgrade:
    """A request that becomes a WebSocket: `address` is the viewer's, None for a device.

    `key` is its `Sec-WebSocket-Key`.  `rest` is what came after it in the same segment: an `auth`, as often as not.
    """

    address: StreamAddress | None
    target: str
    key: str
    rest: bytes = field(repr=False)


def read_upgrade(request: Request, address: StreamAddress | None) -> Upgrade:
    """Return *request* as the handshake of a stream at *address*.

    Raises:
        RequestRefused: it is not a handshake of RFC 6455.

    """
    upgrade, connection = request.tokens("upgrade"), request.tokens("connection")
    if "websocket" not in upgrade or "upgrade" not in connection:
        problem = "Here speaks a WebSocket: connect with ws:// or wss://."
        raise RequestRefused(HTTPStatus.UPGRADE_REQUIRED, problem, {"Upgrade": "websocket"})
    if request.header("sec-websocket-version").strip() != "13":
        problem = "The Sec-WebSocket-Version must be 13."
        raise RequestRefused(HTTPStatus.UPGRADE_REQUIRED, problem, {"Sec-WebSocket-Version": "13"})
    key = request.header("sec-websocket-key").strip()
    if request.http_version != "1.1" or not _is_nonce(key):
        problem = (
            "A WebSocket handshake is HTTP/1.1 with a Sec-WebSocket-Key of 16 bytes in base64."
        )
        raise RequestRefused(HTTPStatus.BAD_REQUEST, problem)
    return Upgrade(address, request.target, key, request.rest)


def _is_nonce(key: str) -> bool:
    try:
        return len(b64decode(key, validate=True)) == 16
    except ValueError:
        return False
