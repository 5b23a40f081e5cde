"""Faults in which handshakes are accepted, and in how they are answered."""

from http import HTTPStatus

from attrs import evolve

from plexwire_conformance.faults._fault import FaultyGateway, fault
from plexwire_conformance.faults._parts import Refusing
from plexwire_conformance.faults._wire import Wire
from plexwire_server.extending import Request, RequestRefused, Response, Upgrade

# ── real clients ─────────────────────────────────────────────────────────────────────────────


@fault(
    "handshake.keep-alive-refused",
    "Wants `Connection` to be `Upgrade`, so that it refuses a browser's `keep-alive, Upgrade`.",
    "PW-ADDR-1",
    also=("PW-ADDR-6",),
)
class KeepAliveRefused(Refusing):
    refusal = Response(HTTPStatus.BAD_REQUEST, "Not a WebSocket handshake.\n")

    def refuses(self, request: Request) -> bool:
        return request.header("connection").lower() not in ("upgrade", "")


@fault(
    "handshake.offers-refused",
    "Refuses a handshake that offers an extension which it does not have.",
    "PW-ADDR-1",
    also=("PW-ADDR-6",),
)
class OffersRefused(Refusing):
    refusal = Response(HTTPStatus.BAD_REQUEST, "No extensions here.\n")

    def refuses(self, request: Request) -> bool:
        return request.header("sec-websocket-extensions") != ""


@fault(
    "handshake.user-agent-demanded",
    "Refuses a handshake without a User-Agent, as its firewall does.",
    "PW-ADDR-1",
    also=("PW-ADDR-6",),
)
class UserAgentDemanded(Refusing):
    refusal = Response(HTTPStatus.FORBIDDEN, "No robots.\n")

    def refuses(self, request: Request) -> bool:
        return not request.header("user-agent")


@fault(
    "handshake.any-offer-accepted",
    "Accepts permessage-deflate whenever an extension is offered, whichever that is.",
    "PW-CONN-4",
)
class AnyOfferAccepted(Wire):
    _offered = False

    def hears(self, data: bytes) -> bytes:
        if not self._answered and b"sec-websocket-extensions" in data.lower():
            self._offered = True
        return data

    def answer(self, head: bytes) -> bytes:
        if not self._offered:
            return head
        accepted = b"Sec-WebSocket-Extensions: permessage-deflate\r\n\r\n"
        return head.replace(b"\r\n\r\n", b"\r\n" + accepted, 1)


@fault(
    "handshake.null-origin-refused",
    "Refuses the Origin `null`, which sandboxed pages and files have.",
    "PW-ADDR-18",
)
class NullOriginRefused(Refusing):
    refusal = Response(HTTPStatus.FORBIDDEN, "From where?\n")

    def refuses(self, request: Request) -> bool:
        return request.header("origin") == "null"


# ── answers ──────────────────────────────────────────────────────────────────────────────────


class _WrongPaths(FaultyGateway):
    """Answers a path that is neither endpoint otherwise."""

    status = HTTPStatus.OK

    def route(self, request: Request) -> Response | Upgrade:
        try:
            return super().route(request)
        except RequestRefused:
            if "/video/stream" in request.path and request.path.startswith("/v1/sources/"):
                raise
            return Response(self.status, "Welcome.\n", headers=(("Location", "/"),))


@fault("addr.wrong-path-as-page", "Serves its page whatever the path is.", "PW-ADDR-13")
class WrongPathAsPage(_WrongPaths):
    pass


@fault("addr.wrong-path-redirected", "Redirects a wrong path to its page.", "PW-ADDR-13")
class WrongPathRedirected(_WrongPaths):
    status = HTTPStatus.FOUND


@fault(
    "addr.any-version",
    "Upgrades the path of any version of the interface.",
    "PW-ADDR-13",
)
class AnyVersion(FaultyGateway):
    def route(self, request: Request) -> Response | Upgrade:
        return super().route(evolve(request, target=request.target.replace("/v2/", "/v1/", 1)))


@fault(
    "conn.malformed-header",
    "Answers the handshake with a header line that has no colon.",
    "PW-CONN-6",
)
class MalformedHeader(Wire):
    def answer(self, head: bytes) -> bytes:
        if not head.startswith(b"HTTP/1.1 101"):
            return head
        return head.replace(b"\r\n\r\n", b"\r\nX-Served-By gateway-3\r\n\r\n", 1)


@fault("addr.malformed-refusal", "Refuses a wrong path in words that are no HTTP.", "PW-ADDR-13")
class MalformedRefusal(Wire):
    def answer(self, head: bytes) -> bytes:
        return b"404 Not Found\n" if head.startswith(b"HTTP/1.1 404") else head
