"""A viewer in an asyncio program: python examples/asyncio_viewer.py ws://127.0.0.1:8700 robot-01 front."""

import asyncio
import os
import sys

from plexwire_client.blocking import open_viewer


async def main(url: str, source_id: str, camera_id: str) -> None:
    """Print one line per frame, until the stream ends or Ctrl-C."""
    key = os.environ["PLEXWIRE_API_KEY"]
    viewer = await asyncio.to_thread(
        open_viewer, url, api_key=key, source_id=source_id, cameras=[camera_id]
    )
    with viewer:  # on Ctrl-C it ends the waiting next_frame too
        while (frame := await asyncio.to_thread(viewer.next_frame)) is not None:
            print(f"{frame.camera_id} {frame.width}x{frame.height} {len(frame.jpeg)} bytes")


if __name__ == "__main__":
    asyncio.run(main(*sys.argv[1:]))
