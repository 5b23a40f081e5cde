"""Processes that end with the block that they serve."""

from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager

import trio

_GRACE_S = 5


@asynccontextmanager
async def ending(process: trio.Process) -> AsyncGenerator[None, None]:
    """Give *process* a moment to end after the block, and kill it where it does not, or where the block failed."""
    try:
        yield
        with trio.move_on_after(_GRACE_S):
            await process.wait()
    finally:
        if process.returncode is None:
            process.kill()
            with trio.CancelScope(shield=True):
                await process.wait()
