"""What one gateway puts up with, as options."""

import socket

from attrs import frozen

from plexwire_protocol.limits import (
    CLOSE_GRACE_S,
    MAX_MESSAGE_BYTES,
    MAX_STREAMS,
    MAX_STREAMS_PER_KEY,
    MAX_WAITING_BYTES,
    MAX_WAITING_BYTES_PER_KEY,
)


@frozen(kw_only=True)
class Limits:
    """Every limit of a gateway that the protocol does not fix; all have sane defaults."""

    #: Largest message of a device, in bytes; one that sends a larger one is closed with 1009.  [PW-LIM-4]
    message_bytes: int = MAX_MESSAGE_BYTES
    #: Largest HTTP request head, in bytes.
    head_bytes: int = 16_384
    #: Seconds from the first moment of a connection to the end of its request head, TLS included.
    head_s: float = 10.0
    #: Seconds that checking a key may take; less than the 10 s in which an auth has to be answered.  [PW-DEV-2]
    key_check_s: float = 8.0
    #: Connections that have not authenticated yet, all together.
    unauthenticated: int = 512
    #: Open streams, in all and of one key.
    streams: int = MAX_STREAMS
    streams_per_key: int = MAX_STREAMS_PER_KEY
    #: Bytes of frames that wait for viewers, in all and of the devices of one key; the oldest is dropped beyond that.
    waiting_bytes: int = MAX_WAITING_BYTES
    waiting_bytes_per_key: int = MAX_WAITING_BYTES_PER_KEY
    #: Seconds between two pings to a peer.
    ping_interval_s: float = 30.0
    #: Seconds without an answer to a ping after which a peer has vanished.  A viewer that stalls answers no ping either,
    #: and must not be closed for a stall: be generous.  [PW-FLOW-2]
    pong_timeout_s: float = 60.0
    #: Seconds that a close waits for a peer that does not read, or does not answer.
    close_grace_s: float = CLOSE_GRACE_S
    #: Seconds in which `drain` gets everybody out.
    drain_s: float = 5.0
    #: Size of a TCP send buffer, in bytes; None leaves it to the kernel.  What lies in it unsent is what a viewer still gets
    #: to see of the past after a stall: where `TCP_NOTSENT_LOWAT` bounds that, the buffer need not.  [PW-FLOW-3]
    send_buffer_bytes: int | None = None if hasattr(socket, "TCP_NOTSENT_LOWAT") else 262_144
