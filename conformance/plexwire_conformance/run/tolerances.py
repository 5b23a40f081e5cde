"""How long the judge waits and what it calls late, scaled by the measured round trip.  All in seconds."""

from typing import Final

from attrs import frozen

#: The protocol's own numbers, as the sources state them; the judge takes none from the code under judgement.
AUTH_DEADLINE: Final = 10.0
ANSWER_DEADLINE: Final = 10.0


@frozen(kw_only=True)
class Tolerances:
    """The tolerances of a run; `round_trip` is the slowest of the measured handshakes, `auth_time` of the answered auths.

    `wait_factor` below 1 shortens the waits for answers; whoever sets it looks again, with whole waits, at what was found.
    """

    round_trip: float = 0.0
    auth_time: float = 0.0
    auth_deadline: float = AUTH_DEADLINE
    wait_factor: float = 1.0

    @property
    def immediate(self) -> float:
        """Within this an answer that is due immediately has come."""
        return max(1.5 * self.wait_factor, min(1.5, 1.5 * self.auth_time)) + 6 * self.round_trip

    @property
    def answer(self) -> float:
        """Within this a device has its answer, and a key its verdict where nothing asks for it at once."""
        return ANSWER_DEADLINE * self.wait_factor + 6 * self.round_trip

    @property
    def handshake(self) -> float:
        """Within this a handshake is answered."""
        return 5.0 + 6 * self.round_trip

    @property
    def late(self) -> float:
        """So much later than a deadline a close may come."""
        return 1.5 + 6 * self.round_trip

    @property
    def early(self) -> float:
        """So much earlier than a deadline a close may seem to come: clocks differ a little."""
        return 0.05

    @property
    def frame(self) -> float:
        """Within this a frame crosses a gateway that is not busy."""
        return 1.5 * self.wait_factor + 6 * self.round_trip

    @property
    def silence(self) -> float:
        """What has not come by then behind a probe that did come, does not come."""
        return 0.3 + 4 * self.round_trip

    def __str__(self) -> str:
        return (
            f"round trip {self.round_trip * 1000:.0f} ms · at once means within "
            f"{self.immediate:.2g} s · deadlines −{self.early * 1000:.0f} ms/+{self.late:.2g} s"
        )
