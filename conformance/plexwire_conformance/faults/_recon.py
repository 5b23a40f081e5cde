"""Faults in what becomes of viewers while a gateway has lost its upstream."""

from functools import partial

import trio

from plexwire_conformance.faults._fault import fault
from plexwire_conformance.faults._parts import Listening, Talkative, watchers
from plexwire_protocol import GatewayReconnecting, Init, VideoFrame, encode
from plexwire_server.extending import ViewerConnection

#: Bytes of a JPEG over which the upstream is lost, and seconds until it is back.
_TOO_LARGE = 800_000
_AWAY_S = 0.5


@fault(
    "recon.init-again",
    "Loses its upstream over a large frame, and sends its viewers another init when it is back.",
    "PW-RECON-4",
)
class InitAgain(Listening):
    viewer_rules = Talkative

    def hear(self, organisation: str, frame: VideoFrame) -> None:
        if len(frame.jpeg) > _TOO_LARGE:
            for viewer in watchers(self, frame.source_id):
                viewer.start_soon(partial(self._lose, viewer))

    async def _lose(self, viewer: ViewerConnection) -> None:
        away = GatewayReconnecting(attempt=1, max_attempts=3, delay_s=_AWAY_S)
        for message in (away, Init(online_sources=())):
            if isinstance(viewer.session, Talkative):
                viewer.session.say(encode(message))
            await viewer.flush()
            await trio.sleep(_AWAY_S)
