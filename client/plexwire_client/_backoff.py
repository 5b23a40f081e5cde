"""When to try again: pure functions and a small counter, without a clock and without chance.  [PW-DEV-15, PW-VIEW-2]"""

from typing import Final

from attrs import define, field

from plexwire_protocol import CloseCode

#: Seconds of the first pause, before it is varied.
FIRST_PAUSE_S: Final = 1.0
#: Seconds that the doubling ends at, before they are varied.
LONGEST_PAUSE_S: Final = 60.0
#: How much of a pause chance adds or takes.
VARIATION: Final = 0.25


def backoff_s(failures: int, chance: float) -> float:
    """Return the seconds to wait after so many *failures* in a row, 0 being the first.

    1 s doubling to 60 s, each varied by 25 percent either way; *chance* is a number from 0 to 1, as `random.random`
    gives it.  [PW-DEV-15]
    """
    doublings = min(
        failures, 16
    )  # beyond it the longest pause holds, and 2**failures would only grow
    pause = min(LONGEST_PAUSE_S, FIRST_PAUSE_S * 2.0**doublings)
    return pause * (1 + VARIATION * (2 * chance - 1))


@define
class Backoff:
    """Counts failures in a row and says how long to wait."""

    failures: int = field(default=0, init=False)

    def after_stream(self, code: int, lasted_s: float, chance: float) -> float:
        """Return the pause after a stream that had begun, lasted *lasted_s* seconds and was closed with *code*.

        After a `timeout` the viewer may reconnect at once [PW-TIME-3]; but a stream that ended as soon as it began
        counts as a failure, or a gateway that does so for ever would be asked for ever without a pause.
        """
        if lasted_s >= FIRST_PAUSE_S * (1 - VARIATION):
            self.failures = 0
            if code == CloseCode.TIMEOUT:
                return 0.0
        return self.after_failure(chance)

    def after_failure(self, chance: float) -> float:
        """Return the pause after an attempt that brought no stream."""
        pause = backoff_s(self.failures, chance)
        self.failures += 1
        return pause
