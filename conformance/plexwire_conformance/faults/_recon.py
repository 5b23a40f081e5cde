"""Faults in what becomes of viewers while a gateway has lost its upstream."""

import trio

from plexwire_conformance.faults._fault import fault
from plexwire_conformance.faults._parts import Listening, watchers
from plexwire_protocol import GatewayReconnecting, Init, VideoFrame, encode
from plexwire_server import KeyGranted
from plexwire_server.extending import ViewerConnection

#: Bytes of a JPEG over which the upstream is lost, and seconds until it is back.
_TOO_LARGE = 800_000
_AWAY_S = 0.5


class _Losing(ViewerConnection):
    gateway: "InitAgain"

    def admit(self, granted: KeyGranted) -> None:
        super().admit(granted)
        self.gateway.connections.append(self)

    async def lose(self) -> None:
        """Lose the upstream, and begin anew when it is back."""
        away = GatewayReconnecting(attempt=1, max_attempts=3, delay_s=_AWAY_S)
        for message in (away, Init(online_sources=())):
            self.peer.say(encode(message), now=trio.current_time())
            await trio.sleep(_AWAY_S)


@fault(
    "recon.init-again",
    "Loses its upstream over a large frame, and sends its viewers another init when it is back.",
    "PW-RECON-4",
)
class InitAgain(Listening):
    viewer_connection = _Losing

    def __init__(self) -> None:
        super().__init__()
        self.connections: list[_Losing] = []

    def hear(self, organisation: str, frame: VideoFrame) -> None:
        if len(frame.jpeg) > _TOO_LARGE:
            watching = watchers(self, frame.source_id)
            for connection in self.connections:
                if connection.peer in watching:
                    connection.start_soon(connection.lose)
