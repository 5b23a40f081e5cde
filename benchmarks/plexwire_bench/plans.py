"""What is measured: a plan is a mode, a picture size, and how many viewers and devices there are."""

from typing import Final

from attrs import frozen

#: The figure that counts, by mode; and whether a smaller one is better.
FIGURES: Final = {
    "window": ("us_per_frame", True),
    "flood": ("frames_per_s", False),
    "paced": ("p50_ms", True),
    "slow": ("p50_ms", True),
    "stall": ("grown_mb", True),
}
#: Modes in which the pace is fixed, so that latency means something.
PACED: Final = ("paced", "slow", "stall")

MAX_VIEWERS: Final = 500
MAX_SECONDS: Final = 150.0
MAX_CAMERAS: Final = 4

#: Under four minutes with all peers.
DEFAULT: Final = (
    "window:100000:1",
    "window:100000:10",
    "window:100000:100",
    "window:30000:100",
    "flood:100000:10",
    "paced:100000:100",
)
FULL: Final = (
    *(f"{mode}:{size}:{viewers}"
      for mode in ("window", "flood")
      for size in (30_000, 100_000, 700_000)
      for viewers in (1, 10, 100)),
    "window:100000:10:16",
    "paced:30000:100",
    "paced:100000:100",
    "paced:700000:10",
    "paced:30000:500:1:2",
    "slow:100000:10",
    "stall:100000:10",
)  # fmt: skip


@frozen
class Plan:
    """One question to all gateways.

    Each viewer watches all cameras of its device.

    window  Each device is at most two frames ahead of its viewers: CPU time per delivered frame.
    flood   The devices send as fast as the gateway reads: frames per second.
    paced   15 frames per second and camera: milliseconds from the device's send to a viewer's last byte.
    slow    As paced, but a viewer reads half of what is sent: how old are the frames that it gets?
    stall   As paced, with viewers that never read: how much does memory grow, process and kernel together?
    """

    mode: str
    jpeg_bytes: int
    viewers: int
    devices: int = 1
    cameras: int = 1

    @classmethod
    def parse(cls, text: str) -> "Plan":
        """Return the plan in `MODE:JPEG_BYTES:VIEWERS[:DEVICES[:CAMERAS]]`; viewers and cameras are counted per device.

        Raises:
            ValueError: *text* is not a plan, or a larger one than this program runs.

        """
        mode, *numbers = text.split(":")
        if mode not in FIGURES or len(numbers) not in (2, 3, 4):
            raise ValueError(f"{text!r} is not MODE:JPEG_BYTES:VIEWERS[:DEVICES[:CAMERAS]]")
        plan = cls(mode, *map(int, numbers))
        if plan.jpeg_bytes < 100 or plan.devices < 1 or plan.viewers < 1:
            raise ValueError(
                f"{text!r} needs a device, a viewer and at least 100 bytes per picture"
            )
        if not 1 <= plan.cameras <= MAX_CAMERAS:
            raise ValueError(f"{text!r} needs 1 to {MAX_CAMERAS} cameras")
        if plan.viewers * plan.devices > MAX_VIEWERS:
            raise ValueError(f"{text!r} has more than {MAX_VIEWERS} viewers")
        return plan

    @property
    def figure(self) -> str:
        """The name of the figure that counts."""
        return FIGURES[self.mode][0]

    @property
    def smaller_is_better(self) -> bool:
        """Whether a smaller figure is a better one."""
        return FIGURES[self.mode][1]

    def __str__(self) -> str:
        """Return what `parse` reads."""
        more = f":{self.devices}" if self.devices > 1 or self.cameras > 1 else ""
        more += f":{self.cameras}" if self.cameras > 1 else ""
        return f"{self.mode}:{self.jpeg_bytes}:{self.viewers}{more}"
