"""The sans-IO core without any event loop: a viewer on plain threads and `websocket-client`.

    PLEXWIRE_API_KEY=plx_… python examples/threads_viewer.py ws://127.0.0.1:8700 robot-01 front

It prints a line a frame, until the gateway closes or ten frames came.
"""

import os
import sys
import time

import websocket

from plexwire_protocol import (
    Auth,
    Close,
    ConversationClosed,
    Init,
    MessageReceived,
    State,
    StreamAddress,
    VideoFrame,
    ViewerSession,
    describe_close,
)


def flush(session: ViewerSession, ws: websocket.WebSocket) -> None:
    """Send what the session has to say."""
    for item in session.take_outbox():
        if isinstance(item, Close):
            ws.close(item.code)
        elif isinstance(item, str):
            ws.send_text(item)
        else:
            ws.send_binary(item)


def main(url: str, source_id: str, camera: str, most: str = "10") -> None:
    """Watch one camera until so many frames came, at *most*."""
    address = StreamAddress(source_id=source_id, cameras=(camera,))
    # Checked for UTF-8 by the library, a frame costs 6 ms and more; the session reads JSON, and does not need it.
    ws = websocket.create_connection(url + address.target(), timeout=10, skip_utf8_validation=True)
    session = ViewerSession(now=time.monotonic())
    session.send(Auth(api_key=os.environ["PLEXWIRE_API_KEY"]), now=time.monotonic())
    frames = 0
    while session.state is not State.CLOSED:
        flush(session, ws)
        left = session.seconds_left(now=time.monotonic())
        ws.settimeout(None if left is None else max(0.001, left))  # 0 would mean: don't wait
        try:
            opcode, data = ws.recv_data()
        except websocket.WebSocketTimeoutException:
            events = session.handle_timeout(now=time.monotonic())
        else:
            if opcode == websocket.ABNF.OPCODE_CLOSE:
                code = int.from_bytes(data[:2], "big") if len(data) >= 2 else 1005
                events = session.receive_close(code, now=time.monotonic())
            else:
                text = opcode == websocket.ABNF.OPCODE_TEXT
                events = session.receive(data.decode() if text else data, now=time.monotonic())
        for event in events:
            match event:
                case MessageReceived(message=Init() as init):
                    print("online:", [list(source.cameras) for source in init.online_sources])
                case MessageReceived(message=VideoFrame() as frame):
                    frames += 1
                    print(f"{frame.camera_id} {frame.width}x{frame.height} {len(frame.jpeg)} bytes")
                case ConversationClosed(close=close):
                    print(describe_close(close.code))
                case _:
                    pass
        if frames >= int(most):
            session.close(now=time.monotonic())
    flush(session, ws)


if __name__ == "__main__":
    main(*sys.argv[1:])
