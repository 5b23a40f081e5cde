"""Viewer and device clients of the live-video relay protocol, on Trio.

Needs the extra `plexwire[client]`; pictures other than JPEGs within the limit need `plexwire[images]`.
"""

from plexwire_client._backoff import backoff_s as backoff_s
from plexwire_client._client import Reconnecting as Reconnecting
from plexwire_client._decoding import frame_to_array as frame_to_array
from plexwire_client._decoding import frame_to_image as frame_to_image
from plexwire_client._decoding import frame_to_temps as frame_to_temps
from plexwire_client._device import DeviceClient as DeviceClient
from plexwire_client._device import DeviceCounters as DeviceCounters
from plexwire_client._device import open_device as open_device
from plexwire_client._encoding import DEFAULT_QUALITY as DEFAULT_QUALITY
from plexwire_client._encoding import Picture as Picture
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
from plexwire_client._errors import Refused as Refused
from plexwire_client._errors import StreamEnded as StreamEnded
from plexwire_client._errors import TlsFailed as TlsFailed
from plexwire_client._jpeg import jpeg_size as jpeg_size
from plexwire_client._thermal_pictures import Temperatures as Temperatures
from plexwire_client._thermal_pictures import make_thermal_scene as make_thermal_scene
from plexwire_client._viewer import ViewerClient as ViewerClient
from plexwire_client._viewer import ViewerEvent as ViewerEvent
from plexwire_client._viewer import open_viewer as open_viewer
from plexwire_trio import HANDSHAKE_TIMEOUT_S as HANDSHAKE_TIMEOUT_S
from plexwire_trio import GatewayUrl as GatewayUrl
from plexwire_trio import StreamOpener as StreamOpener
from plexwire_trio import open_stream as open_stream
from plexwire_trio import open_websocket as open_websocket
