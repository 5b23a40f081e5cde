"""A byte stream on loan: who borrows it may use it, and can't close it."""

import trio


class LentStream(trio.abc.Stream):
    """*stream*, for a borrower whose close is not to be the end of it: whoever opened it closes it.

    After the borrower's close nothing more can be received through the loan; sending stays possible, as a last word
    may still be owed.
    """

    def __init__(self, stream: trio.abc.Stream) -> None:
        self._stream = stream
        self._receiving = trio.CancelScope()
        self._returned = False

    async def send_all(self, data: bytes | bytearray | memoryview) -> None:
        """Send *data* through the loan."""
        await self._stream.send_all(data)

    async def wait_send_all_might_not_block(self) -> None:
        """Wait until sending might not block."""
        await self._stream.wait_send_all_might_not_block()

    async def receive_some(self, max_bytes: int | None = None) -> bytes | bytearray:
        """Receive through the loan.

        Raises:
            ClosedResourceError: the borrower closed it.

        """
        if not self._returned:
            with trio.CancelScope() as self._receiving:
                return await self._stream.receive_some(max_bytes)
        raise trio.ClosedResourceError("this loan was closed by its borrower")

    async def aclose(self) -> None:
        """End the loan, and leave the stream open."""
        self._returned = True
        self._receiving.cancel()
        await trio.lowlevel.checkpoint()
