"""Every number of the protocol, each in one place, with its clause."""

import re
from typing import Final

#: Largest message that a gateway accepts, in bytes: "1 MB" can only mean 1 MiB.  [PW-LIM-2, PW-LIM-3]
MAX_MESSAGE_BYTES: Final = 1_048_576

#: Largest message, in bytes, of a peer that has not authenticated yet, and of a viewer always.  [PW-LIM-3]
MAX_STRANGER_BYTES: Final = 4096

#: Largest JPEG, in bytes, that a device sends as it is; a larger one is encoded again.  [PW-LIM-5]
MAX_JPEG_BYTES: Final = 750_000

#: Seconds from connecting within which the peer's first message must be its auth.  [PW-AUTH-1]
AUTH_DEADLINE_S: Final = 10.0

#: Seconds within which a gateway answers an auth.  [PW-DEV-2, PW-DEV-14, PW-VIEW-4]
ANSWER_DEADLINE_S: Final = 10.0

#: Seconds between two heartbeats of a device.  [PW-DEV-13]
HEARTBEAT_INTERVAL_S: Final = 30.0

#: The camera that a viewer gets which asks for none.  [PW-ADDR-3]
DEFAULT_CAMERA: Final = "default"

#: Longest id, in bytes of UTF-8: the binary form has one byte for its length.  [PW-LIM-6]
MAX_ID_BYTES: Final = 255

#: Cameras that one address may name, and that one device may have.  [PW-LIM-6]
MAX_CAMERAS: Final = 64

#: How deep a JSON message may nest, its own braces counted: room for every known message, and none for an attack
#: on the stack of those who copy, print or relay it.  [PW-LIM-7]
MAX_NESTING: Final = 64

#: Objects and lists in one JSON message of a viewer or a device, counted before it is decoded: a short text with many
#: costs a gateway far more than its length says.  [PW-LIM-7]
MAX_CONTAINERS: Final = 1000

#: Seconds within which a close that is due has to be written, whatever the writer is busy with.  [PW-TIME-1]
CLOSE_GRACE_S: Final = 2.0

#: Bytes of frames that wait for viewers, in all and of the devices of one key; the oldest is dropped beyond that.
MAX_WAITING_BYTES: Final = 128 << 20
MAX_WAITING_BYTES_PER_KEY: Final = 32 << 20

#: Open streams in all, and of one key.  [PW-LIM-9]
MAX_STREAMS: Final = 4096
MAX_STREAMS_PER_KEY: Final = 256

#: Items that may wait in the outbox of a session: more means that its embedder never takes them.
MAX_OUTBOX: Final = 256

#: What a source id looks like.  [PW-ADDR-11]
SOURCE_ID: Final = re.compile(r"[a-z0-9][a-z0-9._-]{0,255}")

#: Largest `timeout` of an address, in seconds.  [PW-TIME-5]
MAX_TIMEOUT_S: Final = 2**31 - 1

#: First and last value of `width` and `height` (pixels) and of `timestamp` (ms), as the binary form has them.
PIXELS: Final = (0, 2**32 - 1)
TIMESTAMPS_MS: Final = (-(2**63), 2**63 - 1)
