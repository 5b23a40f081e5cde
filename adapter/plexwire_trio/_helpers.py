"""Tasks that help a body along and end with it."""

from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager

import trio


@asynccontextmanager
async def helper_tasks() -> AsyncGenerator[trio.Nursery, None]:
    """Open a nursery whose tasks are cancelled when the body ends; what the body raises leaves as it is, ungrouped.

    Only a task that raises makes an `ExceptionGroup`, and helpers are written not to.
    """
    failure: Exception | None = None
    async with trio.open_nursery() as nursery:
        try:
            yield nursery
        except Exception as error:
            failure = error
        nursery.cancel_scope.cancel()
    if failure is not None:
        raise failure
