"""The request heads with which real clients open a WebSocket, and variations of them.

Most were captured from the client itself (`captured`); the others follow public reports of what the client sends, which
`source` names. They differ in what a strict reader of RFC 6455 stumbles over: the order and the capitals of the header
names, the tokens of `Connection`, the extensions that are offered, and headers that have nothing to do with WebSocket.
"""

from collections.abc import Callable, Sequence
from typing import Final

from attrs import evolve, field, frozen

#: The handshake key of RFC 6455 section 1.3; whoever needs another passes it.
SAMPLE_KEY: Final = "dGhlIHNhbXBsZSBub25jZQ=="

#: Origins of pages that are not the gateway's own; a browser sends `null` for files and sandboxed frames.
FOREIGN_ORIGINS: Final = (
    "https://dashboard.example.com",
    "http://localhost:3000",
    "http://127.0.0.1:5173",
    "https://xn--kche-0ra.example",
    "https://dashboard.example.com:8443",
    "null",
    "file://",
    "capacitor://localhost",
    "chrome-extension://aapbdbdomjkkjkaonfhkkikfgjllcleb",
)

_HOST: Final = "{host}"
_ORIGIN: Final = "{origin}"
_KEY: Final = "{key}"


@frozen
class RequestHead:
    """The head of one client: its headers in order, with `{host}`, `{origin}` and `{key}` to fill in.

    `name` is the client's, `version` the one that was seen.  `source` is where a head comes from that was not captured.
    """

    name: str
    version: str
    headers: Sequence[tuple[str, str]]
    source: str = ""
    method: str = "GET"
    http: str = "HTTP/1.1"
    separator: str = field(default=": ", repr=False)

    @property
    def captured(self) -> bool:
        """Whether the head was recorded from the client itself."""
        return not self.source

    @property
    def has_origin(self) -> bool:
        """Whether the client says which page it runs in."""
        return any(_ORIGIN in value for _, value in self.headers)

    def render(
        self, target: str, *, host: str, origin: str = "https://{host}", key: str = SAMPLE_KEY
    ) -> bytes:
        """Return the head for *target*, to the empty line at its end; in *origin* `{host}` is filled in too."""
        filled = {_HOST: host, _ORIGIN: origin.replace(_HOST, host), _KEY: key}
        lines = [f"{self.method} {target} {self.http}"]
        for name, value in self.headers:
            for placeholder, meant in filled.items():
                value = value.replace(placeholder, meant)
            lines.append(f"{name}{self.separator}{value}")
        return "".join(f"{line}\r\n" for line in (*lines, "")).encode()


def _head(name: str, version: str, headers: str, source: str = "") -> RequestHead:
    pairs = [line.strip().partition(": ") for line in headers.strip().splitlines()]
    return RequestHead(name, version, tuple((one, value) for one, _, value in pairs), source)


#: The clients, browsers first.
REQUEST_HEADS: Final = (
    _head(
        "Firefox",
        "153",
        """
        Host: {host}
        User-Agent: Mozilla/5.0 (X11; Linux x86_64; rv:153.0) Gecko/20100101 Firefox/153.0
        Accept: */*
        Accept-Language: en-US,en;q=0.9
        Accept-Encoding: gzip, deflate, br, zstd
        Sec-WebSocket-Version: 13
        Origin: {origin}
        Sec-WebSocket-Extensions: permessage-deflate
        Sec-WebSocket-Key: {key}
        Connection: Upgrade
        Sec-Fetch-Dest: empty
        Sec-Fetch-Mode: websocket
        Sec-Fetch-Site: same-origin
        Pragma: no-cache
        Cache-Control: no-cache
        Upgrade: websocket
        """,
    ),
    _head(
        "Firefox with keep-alive",
        "up to 2025",
        """
        Host: {host}
        User-Agent: Mozilla/5.0 (X11; Linux x86_64; rv:140.0) Gecko/20100101 Firefox/140.0
        Accept: */*
        Accept-Language: en-US,en;q=0.5
        Accept-Encoding: gzip, deflate, br, zstd
        Sec-WebSocket-Version: 13
        Origin: {origin}
        Sec-WebSocket-Extensions: permessage-deflate
        Sec-WebSocket-Key: {key}
        Connection: keep-alive, Upgrade
        Sec-Fetch-Dest: empty
        Sec-Fetch-Mode: websocket
        Sec-Fetch-Site: cross-site
        Pragma: no-cache
        Cache-Control: no-cache
        Upgrade: websocket
        """,
        "https://github.com/SeasideSt/Seaside/pull/1492",
    ),
    _head(
        "Chrome",
        "156",
        """
        Host: {host}
        Connection: Upgrade
        Pragma: no-cache
        Cache-Control: no-cache
        User-Agent: Mozilla/5.0 (X11; Linux x86_64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/156.0.0.0 Safari/537.36
        Upgrade: websocket
        Origin: {origin}
        Sec-WebSocket-Version: 13
        Accept-Encoding: gzip, deflate, br, zstd
        Accept-Language: en-US,en;q=0.9
        Sec-WebSocket-Key: {key}
        Sec-WebSocket-Extensions: permessage-deflate; client_max_window_bits
        """,
    ),
    _head(
        "Safari",
        "since 15",
        """
        Host: {host}
        Upgrade: websocket
        Connection: Upgrade
        Origin: {origin}
        Sec-WebSocket-Version: 13
        Sec-WebSocket-Key: {key}
        Sec-WebSocket-Extensions: permessage-deflate
        User-Agent: Mozilla/5.0 (Macintosh; Intel Mac OS X 10_15_7) AppleWebKit/605.1.15 (KHTML, like Gecko) Version/17.4 Safari/605.1.15
        Accept-Language: en-GB,en;q=0.9
        Accept-Encoding: gzip, deflate
        Pragma: no-cache
        Cache-Control: no-cache
        """,
        "https://github.com/gorilla/websocket/issues/696 (the extension; the order is not recorded)",
    ),
    _head(
        "Safari before 15",
        "9 to 14",
        """
        Upgrade: websocket
        Connection: Upgrade
        Host: {host}
        Origin: {origin}
        Pragma: no-cache
        Cache-Control: no-cache
        Sec-WebSocket-Key: {key}
        Sec-WebSocket-Version: 13
        Sec-WebSocket-Extensions: x-webkit-deflate-frame
        User-Agent: Mozilla/5.0 (Macintosh; Intel Mac OS X 10_15_7) AppleWebKit/605.1.15 (KHTML, like Gecko) Version/14.1.2 Safari/605.1.15
        """,
        "https://github.com/whatwg/html/issues/852",
    ),
    _head(
        "websocket-client",
        "1.9.2",
        """
        Upgrade: websocket
        Host: {host}
        Origin: {origin}
        Sec-WebSocket-Key: {key}
        Sec-WebSocket-Version: 13
        Connection: Upgrade
        """,
    ),
    _head(
        "websockets",
        "17.4",
        """
        Host: {host}
        Upgrade: websocket
        Connection: Upgrade
        Sec-WebSocket-Key: {key}
        Sec-WebSocket-Version: 13
        Sec-WebSocket-Extensions: permessage-deflate; client_max_window_bits
        User-Agent: Python/3.11 websockets/17.4
        """,
    ),
    _head(
        "aiohttp",
        "3.14.5",
        """
        Host: {host}
        Upgrade: websocket
        Connection: Upgrade
        Sec-WebSocket-Version: 13
        Sec-WebSocket-Key: {key}
        Accept: */*
        Accept-Encoding: gzip, deflate
        User-Agent: Python/3.11 aiohttp/3.14.5
        """,
    ),
    _head(
        "Go, gorilla",
        "1.5.3",
        """
        Host: {host}
        User-Agent: Go-http-client/1.1
        Connection: Upgrade
        Sec-WebSocket-Key: {key}
        Sec-WebSocket-Version: 13
        Upgrade: websocket
        """,
    ),
    _head(
        "Go, coder",
        "1.8.15",
        """
        Host: {host}
        User-Agent: Go-http-client/1.1
        Connection: Upgrade
        Sec-Websocket-Key: {key}
        Sec-Websocket-Version: 13
        Upgrade: websocket
        Accept-Encoding: gzip
        """,
    ),
    _head(
        "Node, ws",
        "8.23.0",
        """
        Sec-WebSocket-Version: 13
        Sec-WebSocket-Key: {key}
        Connection: Upgrade
        Upgrade: websocket
        Sec-WebSocket-Extensions: permessage-deflate; client_max_window_bits
        Host: {host}
        """,
    ),
    _head(
        "Node, undici",
        "7.30.2",
        """
        host: {host}
        connection: upgrade
        upgrade: websocket
        sec-websocket-key: {key}
        sec-websocket-version: 13
        sec-websocket-extensions: permessage-deflate; client_max_window_bits
        accept: */*
        accept-language: *
        sec-fetch-mode: websocket
        user-agent: undici
        pragma: no-cache
        cache-control: no-cache
        accept-encoding: gzip, deflate
        """,
    ),
    _head(
        "Java",
        "17.0.15",
        """
        Connection: Upgrade
        Content-Length: 0
        Host: {host}
        Upgrade: websocket
        User-Agent: Java-http-client/17.0.15
        Sec-WebSocket-Key: {key}
        Sec-WebSocket-Version: 13
        """,
    ),
    _head(
        "curl, headers by hand",
        "7.88.1",
        """
        Host: {host}
        User-Agent: curl/7.88.1
        Accept: */*
        Connection: Upgrade
        Upgrade: websocket
        Sec-WebSocket-Version: 13
        Sec-WebSocket-Key: {key}
        """,
    ),
)


# ── variations ───────────────────────────────────────────────────────────────────────────────


def same_meaning(head: RequestHead) -> Sequence[tuple[str, RequestHead]]:
    """Return variations of *head* that RFC 6455 and RFC 9110 read as the same, each with its name; none is *head*."""
    key = "Sec-WebSocket-Key"
    extra = (("Cookie", f"session={'x' * 2000}"), ("X-Forwarded-For", "192.0.2.7"), ("X-Empty", ""))
    variations = (
        ("names in lower case", _renamed(head, str.lower)),
        ("names in upper case", _renamed(head, str.upper)),
        ("no space after the colon", evolve(head, separator=":")),
        ("two spaces after the colon", evolve(head, separator=":  ")),
        ("a tab after the colon", evolve(head, separator=":\t")),
        ("headers in reverse order", evolve(head, headers=tuple(reversed(head.headers)))),
        ("spaces after the key", _with(head, key, f"{_KEY}  ")),
        *(
            (f"Connection: {tokens}", _with(head, "Connection", tokens))
            for tokens in ("upgrade", "UPGRADE", "keep-alive, Upgrade", "Upgrade, keep-alive")
        ),
        ("Connection: keep-alive,Upgrade", _with(head, "Connection", "keep-alive,Upgrade")),
        ("Connection in two headers", _doubled(head, "Connection", "keep-alive")),
        ("Upgrade: WebSocket", _with(head, "Upgrade", "WebSocket")),
        *(
            (f"offers {offer}", _with(head, "Sec-WebSocket-Extensions", offer))
            for offer in (
                "x-unknown-extension",
                "permessage-deflate; client_max_window_bits; server_no_context_takeover",
                "permessage-deflate; server_max_window_bits=10, permessage-deflate",
                'x-unknown; quoted="a, b; c"',
            )
        ),
        ("further headers", evolve(head, headers=(*head.headers, *extra))),
    )
    return tuple((name, one) for name, one in variations if one != head)


def broken(head: RequestHead) -> Sequence[tuple[str, RequestHead]]:
    """Return near misses of *head*, each with its name: none is a handshake of RFC 6455, version 13."""
    key = "Sec-WebSocket-Key"
    return (
        *(
            (f"without {name}", _without(head, name))
            for name in ("Host", "Upgrade", "Connection", key, "Sec-WebSocket-Version")
        ),
        *(
            (f"Sec-WebSocket-Version: {version}", _with(head, "Sec-WebSocket-Version", version))
            for version in ("", "0", "8", "12", "14", "130", "x")
        ),
        *(
            (f"a key of {what}", _with(head, key, value))
            for what, value in (
                ("no bytes", ""),
                ("15 bytes", "dGhlIHNhbXBsZSBub25j"),
                ("18 bytes", "dGhlIHNhbXBsZSBub25jZWVl"),
                ("no base64", "not base64 at all!!!!!=="),
            )
        ),
        ("Upgrade: h2c", _with(head, "Upgrade", "h2c")),
        ("Upgrade: websockets", _with(head, "Upgrade", "websockets")),
        ("Connection: keep-alive", _with(head, "Connection", "keep-alive")),
        ("Connection: close", _with(head, "Connection", "close")),
        ("method POST", evolve(head, method="POST")),
        ("method HEAD", evolve(head, method="HEAD")),
        ("HTTP/1.0", evolve(head, http="HTTP/1.0")),
    )


def _is(name: str, header: tuple[str, str]) -> bool:
    return header[0].lower() == name.lower()


def _renamed(head: RequestHead, change: Callable[[str], str]) -> RequestHead:
    return evolve(head, headers=tuple((change(name), value) for name, value in head.headers))


def _without(head: RequestHead, name: str) -> RequestHead:
    return evolve(head, headers=tuple(one for one in head.headers if not _is(name, one)))


def _with(head: RequestHead, name: str, value: str) -> RequestHead:
    """*head* with *value* for its header *name*, in its place, or at the end if it has none."""
    if not any(_is(name, one) for one in head.headers):
        return evolve(head, headers=(*head.headers, (name, value)))
    headers = tuple((one[0], value) if _is(name, one) else one for one in head.headers)
    return evolve(head, headers=headers)


def _doubled(head: RequestHead, name: str, value: str) -> RequestHead:
    """*head* with another header *name* before its own."""
    at = next(index for index, one in enumerate(head.headers) if _is(name, one))
    headers = (*head.headers[:at], (name, value), *head.headers[at:])
    return evolve(head, headers=headers)
