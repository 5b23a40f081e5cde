"""What an edge counts of its upstream."""

from collections import Counter

from attrs import define, field

from plexwire_protocol import Close
from plexwire_server._metrics import code_label
from plexwire_server._prometheus import Page, by


@define(eq=False)
class UpstreamMetrics:
    """What an edge counts of its upstream."""

    attempts: int = 0
    gave_up: int = 0
    links: "Counter[str]" = field(factory=lambda: Counter[str]())
    losses: "Counter[str]" = field(factory=lambda: Counter[str]())

    def note_loss(self, lost: Close) -> None:
        """Count a feed that lost the upstream."""
        self.losses[code_label(lost.code)] += 1

    def write(self, page: Page, *, feeds: int, away: int) -> None:
        """Write everything on *page*; there are so many *feeds* now, so many of them *away*."""
        page.gauge("upstream_feeds", "Streams of the upstream that viewers share.", feeds)
        page.gauge("upstream_feeds_away", "Those of them that wait for the upstream.", away)
        page.counts(
            "upstream_connections",
            "Connections to the upstream, by outcome.",
            by("outcome", self.links),
        )
        page.counts(
            "upstream_losses",
            "Feeds that lost the upstream, by close code.",
            by("code", self.losses),
        )
        page.count("upstream_reconnect_attempts", "Attempts to get a feed back.", self.attempts)
        page.count("upstream_given_up", "Feeds that were given up.", self.gave_up)
