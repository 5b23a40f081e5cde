"""Pictures beneath trio-websocket, for little more than the kernel's copy of them.

trio-websocket stays in charge of the connection: handshake, control frames, text, closing.  It gets a byte stream of
ours through its public `wrap_server_stream`.  That stream does two things by itself:

- A viewer's pictures go out as finished RFC 6455 frames, built once for all viewers.
- A device's whole binary messages are taken out of what it sends, unmasked in one go, and handed over.

## How a gateway uses it

    keep_heap()                                                       # once per process
    async with open_fast_lane() as lane:                              # one per gateway
        ...
        async with lane.attach(tcp_or_tls_stream) as fast, trio.open_nursery() as nursery:
            request = await wrap_server_stream(nursery, fast)         # plexwire_trio's, or trio-websocket's
            ws = await request.accept()
            ...
            # a viewer, once its init was sent
            fast.pull = next_frame                                    # () -> finished frame, or None
            fast.kick()                                               # whenever a frame may wait: for instance Hub's `wake`
            peer.offer = fast.offer                                   # the Hub's short cut, while nothing waits
            # a device, once it was authenticated
            fast.budget = DEVICE
            fast.on_binary = take_message                             # (payload) -> None

A gateway that has read the request itself attaches with `already=rest, upgraded=True`, where `rest` came after it, and
calls `accept_upgrade(nursery, fast, target, key)` without *received*: `rest` is heard through the lane.

`fast.excess` says why a peer was thrown out (1008 or 1009, already sent); trio-websocket knows only 1006.  Linger before
you close the TCP connection, as after any close that the peer did not answer.  `fast.blocked` is true while a peer does
not read.  A drop is `trio.aclose_forcefully(fast)`.  Build a frame with `text_frame(before, base64, after)`; a Hub with
`finish=text_frame` does so.

Without `pull` and `on_binary` all goes through trio-websocket, at its pace, and the budgets hold all the same: that is
how a gateway runs without the lane.

Without Trio, use the parts that are sans-IO: `text_frame`, `close_frame`, and `Cutter`, whose `room` and `filled` are
what `asyncio.BufferedProtocol` asks for.

## Why it is as it is

- **Pulled, not pushed.**  A frame is asked for when the socket has room.  Until then it lies in the viewer's mailbox,
  where a newer one replaces it: no queue in here grows old, and a stalled viewer holds one begun frame.
- **The first write is tried by whoever calls `kick`**, the device's task as a rule.  A viewer that keeps up takes a
  whole picture then, and no task is woken for it.
- **The Hub offers a frame** while a viewer's writer rests: a write and a count, where `wake`, `pull` and a second `pull`
  cost some 3 µs more per viewer.
- **One task writes the rests of all viewers.**  Waking a task of each viewer costs 20 µs, as much as copying 100 kB.  An
  epoll of our own knows which sockets have room; Trio waits for it as for any file (`wait_readable`).  It is
  edge-triggered, so that viewers which keep up cost no system call.
- **What has begun is finished.**  The rest of a frame belongs to the connection and to no task, so a cancelled task
  never leaves half a frame.  `send_all` is withdrawn if nothing of it was written, and finished otherwise.
- **One turn for all others per picture**: a checkpoint, or the wait for more bytes, which is one.
- **`SO_RCVLOWAT`** lets the kernel wake us once for the rest of a picture instead of once for each 64 KiB of it.
- **`TCP_NOTSENT_LOWAT`** stays at Trio's 16 KiB: old pictures would otherwise wait in the kernel, where none replaces them.
  Only a large rest of a picture that has begun may exceed it, as nothing can replace that: 700 kB cost 1.1 to 1.4 writes
  instead of 3.
- **Budgets.**  trio-websocket 0.12 takes all frames of one read without a checkpoint, counts neither empty fragments nor
  pongs, and limits characters, not bytes.  Here a read is 4 KiB until there is an `on_binary`, at most 32 frames are
  passed on per turn, a message is refused by its declared length, and frames of under 512 bytes come out of a purse
  that fills slowly: 256, then 20 a second, before auth and for viewers.
- **An error in `pull` costs its own connection**: it leaves `receive_some` there, and the device that kicked goes on.

Unmasking comes from websockets, where it is installed; see `unmask`.
"""

from plexwire_trio.fastlane._budget import DEVICE as DEVICE
from plexwire_trio.fastlane._budget import STRANGER as STRANGER
from plexwire_trio.fastlane._budget import Budget as Budget
from plexwire_trio.fastlane._budget import Excess as Excess
from plexwire_trio.fastlane._cutter import Binary as Binary
from plexwire_trio.fastlane._cutter import Cutter as Cutter
from plexwire_trio.fastlane._cutter import Passing as Passing
from plexwire_trio.fastlane._cutter import Piece as Piece
from plexwire_trio.fastlane._framing import Buffer as Buffer
from plexwire_trio.fastlane._framing import Unmask as Unmask
from plexwire_trio.fastlane._framing import close_frame as close_frame
from plexwire_trio.fastlane._framing import text_frame as text_frame
from plexwire_trio.fastlane._heap import keep_heap as keep_heap
from plexwire_trio.fastlane._lane import FastLane as FastLane
from plexwire_trio.fastlane._lane import open_fast_lane as open_fast_lane
from plexwire_trio.fastlane._speedups import unmask as unmask
from plexwire_trio.fastlane._stream import FastStream as FastStream
