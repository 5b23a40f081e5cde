"""Viewer and device clients of the live-video relay protocol, on Trio; `plexwire_client.blocking` is for other programs.

Needs the extra `plexwire[client]`.  Pictures other than JPEGs within the limit, and `plexwire_client.pictures`, need
`plexwire[images]`; the commands `plexwire watch` and `plexwire publish` need `plexwire[tools]`.
"""

try:
    import trio_websocket  # noqa: F401
except ModuleNotFoundError as error:
    raise ModuleNotFoundError(
        f"plexwire_client needs {error.name}: pip install 'plexwire[client]'", name=error.name
    ) from None

from plexwire_client._backoff import backoff_s as backoff_s
from plexwire_client._client import Reconnecting as Reconnecting
from plexwire_client._device import DeviceClient as DeviceClient
from plexwire_client._device import DeviceCounters as DeviceCounters
from plexwire_client._device import open_device as open_device
from plexwire_client._errors import BadUrl as BadUrl
from plexwire_client._errors import ConnectError as ConnectError
from plexwire_client._errors import ConnectionLost as ConnectionLost
from plexwire_client._errors import FfmpegError as FfmpegError
from plexwire_client._errors import HandshakeRefused as HandshakeRefused
from plexwire_client._errors import HandshakeTimedOut as HandshakeTimedOut
from plexwire_client._errors import HostNotFound as HostNotFound
from plexwire_client._errors import HostUnreachable as HostUnreachable
from plexwire_client._errors import ImageError as ImageError
from plexwire_client._errors import ImagesMissing as ImagesMissing
from plexwire_client._errors import NotAGateway as NotAGateway
from plexwire_client._errors import NothingListens as NothingListens
from plexwire_client._errors import NotInTrio as NotInTrio
from plexwire_client._errors import Refused as Refused
from plexwire_client._errors import StreamEnded as StreamEnded
from plexwire_client._errors import TlsFailed as TlsFailed
from plexwire_client._jpeg import DEFAULT_QUALITY as DEFAULT_QUALITY
from plexwire_client._jpeg import Picture as Picture
from plexwire_client._jpeg import jpeg_size as jpeg_size
from plexwire_client._viewer import ViewerClient as ViewerClient
from plexwire_client._viewer import ViewerEvent as ViewerEvent
from plexwire_client._viewer import open_viewer as open_viewer
from plexwire_trio import HANDSHAKE_TIMEOUT_S as HANDSHAKE_TIMEOUT_S
from plexwire_trio import GatewayUrl as GatewayUrl
from plexwire_trio import StreamOpener as StreamOpener
from plexwire_trio import open_stream as open_stream
from plexwire_trio import open_websocket as open_websocket
