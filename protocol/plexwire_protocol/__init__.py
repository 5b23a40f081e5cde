"""The protocol's rules without sockets, clocks or threads: the sans-IO core of plexwire.

It needs attrs and nothing else.  See `ViewerSession`, `GatewayViewerSession`, `DeviceSession`, `GatewayDeviceSession`
and `Relay`.
"""

from plexwire_protocol._addresses import DEVICE_PATH as DEVICE_PATH
from plexwire_protocol._addresses import StreamAddress as StreamAddress
from plexwire_protocol._binary import decode_device_frame as decode_device_frame
from plexwire_protocol._binary import encode_device_frame as encode_device_frame
from plexwire_protocol._closing import Close as Close
from plexwire_protocol._closing import CloseCode as CloseCode
from plexwire_protocol._closing import describe_close as describe_close
from plexwire_protocol._codec import EncodedFrame as EncodedFrame
from plexwire_protocol._codec import decode as decode
from plexwire_protocol._codec import encode as encode
from plexwire_protocol._device import DeviceSession as DeviceSession
from plexwire_protocol._errors import AddressRefused as AddressRefused
from plexwire_protocol._errors import AnswerMissing as AnswerMissing
from plexwire_protocol._errors import AuthViolation as AuthViolation
from plexwire_protocol._errors import LocalProtocolError as LocalProtocolError
from plexwire_protocol._errors import MalformedMessage as MalformedMessage
from plexwire_protocol._errors import PlexwireError as PlexwireError
from plexwire_protocol._errors import Refusal as Refusal
from plexwire_protocol._errors import RemoteProtocolError as RemoteProtocolError
from plexwire_protocol._errors import UnexpectedMessage as UnexpectedMessage
from plexwire_protocol._events import AuthReceived as AuthReceived
from plexwire_protocol._events import ConversationClosed as ConversationClosed
from plexwire_protocol._events import Event as Event
from plexwire_protocol._events import MessageIgnored as MessageIgnored
from plexwire_protocol._events import MessageReceived as MessageReceived
from plexwire_protocol._events import MessageRefused as MessageRefused
from plexwire_protocol._events import PeerViolated as PeerViolated
from plexwire_protocol._gateway import GatewayDeviceSession as GatewayDeviceSession
from plexwire_protocol._gateway import GatewayViewerSession as GatewayViewerSession
from plexwire_protocol._limits import ANSWER_DEADLINE_S as ANSWER_DEADLINE_S
from plexwire_protocol._limits import AUTH_DEADLINE_S as AUTH_DEADLINE_S
from plexwire_protocol._limits import DEFAULT_CAMERA as DEFAULT_CAMERA
from plexwire_protocol._limits import HEARTBEAT_INTERVAL_S as HEARTBEAT_INTERVAL_S
from plexwire_protocol._limits import MAX_CAMERAS as MAX_CAMERAS
from plexwire_protocol._limits import MAX_ID_BYTES as MAX_ID_BYTES
from plexwire_protocol._limits import MAX_JPEG_BYTES as MAX_JPEG_BYTES
from plexwire_protocol._limits import MAX_MESSAGE_BYTES as MAX_MESSAGE_BYTES
from plexwire_protocol._limits import MAX_NESTING as MAX_NESTING
from plexwire_protocol._limits import MAX_TIMEOUT_S as MAX_TIMEOUT_S
from plexwire_protocol._limits import SOURCE_ID as SOURCE_ID
from plexwire_protocol._messages import JPEG_START as JPEG_START
from plexwire_protocol._messages import Auth as Auth
from plexwire_protocol._messages import Authenticated as Authenticated
from plexwire_protocol._messages import DeviceAuth as DeviceAuth
from plexwire_protocol._messages import ErrorReport as ErrorReport
from plexwire_protocol._messages import GatewayReconnecting as GatewayReconnecting
from plexwire_protocol._messages import Heartbeat as Heartbeat
from plexwire_protocol._messages import Init as Init
from plexwire_protocol._messages import JsonValue as JsonValue
from plexwire_protocol._messages import Message as Message
from plexwire_protocol._messages import OnlineSource as OnlineSource
from plexwire_protocol._messages import Role as Role
from plexwire_protocol._messages import Unknown as Unknown
from plexwire_protocol._messages import VideoFrame as VideoFrame
from plexwire_protocol._relay import Publisher as Publisher
from plexwire_protocol._relay import Relay as Relay
from plexwire_protocol._relay import Subscriber as Subscriber
from plexwire_protocol._session import Outgoing as Outgoing
from plexwire_protocol._session import Session as Session
from plexwire_protocol._states import DEVICE_CONVERSATION as DEVICE_CONVERSATION
from plexwire_protocol._states import VIEWER_CONVERSATION as VIEWER_CONVERSATION
from plexwire_protocol._states import ConversationTable as ConversationTable
from plexwire_protocol._states import Deadline as Deadline
from plexwire_protocol._states import Edge as Edge
from plexwire_protocol._states import State as State
from plexwire_protocol._states import Timer as Timer
from plexwire_protocol._states import Trigger as Trigger
from plexwire_protocol._states import render_mermaid as render_mermaid
from plexwire_protocol._viewer import ViewerSession as ViewerSession

__version__ = "0.1.0"
