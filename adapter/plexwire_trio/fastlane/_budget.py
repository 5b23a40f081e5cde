"""What a peer may cost: the size of a message, and how many small frames.  Sans-IO."""

from typing import Final

from attrs import define, field, frozen

#: Payload from which on a frame is paid for by its bytes.
SMALL_BYTES: Final = 512


@frozen
class Budget:
    """What one connection may cost.

    message_bytes: Bytes of a message, its fragments together; a frame is refused by the length that it declares.
    small_frames: Frames of under 512 bytes that may come at once, whatever they are: control frames, fragments, messages.
    small_frames_per_s: How many of them may come per second in the long run.
    """

    message_bytes: int
    small_frames: int
    small_frames_per_s: float


#: A peer before its auth, and a viewer always: all that it has to send is its auth and pongs.
STRANGER: Final = Budget(message_bytes=4096, small_frames=256, small_frames_per_s=20)

#: A device after its auth.
DEVICE: Final = Budget(message_bytes=1 << 20, small_frames=2000, small_frames_per_s=500)


@frozen
class Excess:
    """A peer has exceeded its budget: the close code that says so, and a reason for people."""

    code: int
    reason: str


TOO_BIG: Final = 1009
POLICY: Final = 1008


@define
class Meter:
    """How much of *budget* is left; `budget` may be replaced at any time."""

    budget: Budget
    _spent: float = field(default=0.0, init=False)
    _at: float = field(default=0.0, init=False)

    def small_frame(self, now: float) -> Excess | None:
        """Count a small frame that came at *now*, in seconds of any clock that does not go back."""
        paid = (now - self._at) * self.budget.small_frames_per_s
        self._at = now
        self._spent = max(0.0, self._spent - paid) + 1
        if self._spent > self.budget.small_frames:
            return Excess(POLICY, "too many small frames")
        return None

    def message(self, size: int) -> Excess | None:
        """Judge a message of which *size* bytes have come or are declared."""
        if size > self.budget.message_bytes:
            return Excess(TOO_BIG, f"a message of over {self.budget.message_bytes} bytes")
        return None
