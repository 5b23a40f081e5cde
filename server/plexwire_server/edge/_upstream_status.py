"""What an edge knows of its upstream: whether it can be reached, and what is counted and logged of it."""

import logging
from collections import Counter
from collections.abc import Callable, Iterator
from typing import Final

from prometheus_client.metrics_core import Metric

from plexwire_protocol import Close, CloseCode, GatewayDeviated
from plexwire_server._log import LogEvent, LogValue
from plexwire_server._metric_families import counter, counter_by, gauge
from plexwire_server._metrics import code_label
from plexwire_server.edge._upstream import Upstream

_log: Final = logging.getLogger(__name__)


class UpstreamStatus:
    """What the feeds of an edge report of *upstream*; *on_event* gets what an operator wants to know.

    `reachable` is None until a viewer has asked for the upstream.
    """

    def __init__(self, upstream: Upstream, on_event: Callable[[LogEvent], None]) -> None:
        self.upstream = upstream
        self.reachable: bool | None = None
        self._on_event = on_event
        self._deviations: set[GatewayDeviated] = set()
        self.attempts = 0
        self.given_up = 0
        self.connections: Counter[str] = Counter()
        self.losses: Counter[str] = Counter()

    def note_accepted(self) -> None:
        """Count a connection that the upstream accepted."""
        self.connections["accepted"] += 1
        self._note_reachable()

    def note_not_accepted(self, close: Close, problem: str) -> None:
        """Count a connection that ended with *close* before the upstream accepted it; *problem* is for operators."""
        if close.code != CloseCode.ABNORMAL:
            self.connections["refused"] += 1
            self._note_reachable()
            return
        self.connections["unreachable"] += 1
        if self.reachable is not False:
            self.reachable = False
            self.log_event("upstream_unreachable", url=str(self.upstream.url), problem=problem)

    def note_loss(self, lost: Close) -> None:
        """Count a feed that lost the upstream."""
        self.losses[code_label(lost.code)] += 1

    def note_deviation(self, deviation: GatewayDeviated) -> None:
        """Log that the upstream broke a clause, once for each kind."""
        if deviation.kind not in self._deviations:
            self._deviations.add(deviation.kind)
            members = {"path": deviation.path, "problem": deviation.problem}
            self.log_event("upstream_deviates", clause=deviation.clause, **members)

    def note_attempt(self) -> None:
        """Count an attempt to get a feed back."""
        self.attempts += 1

    def note_given_up(self) -> None:
        """Count a feed that was given up."""
        self.given_up += 1

    def log_event(self, name: str, **members: LogValue) -> None:
        """Log what happened; an error in that does not end a feed."""
        try:
            self._on_event(LogEvent(name, members))
        except Exception as error:
            _log.error("What became of the upstream could not be told.", exc_info=error)

    def collect(self, *, feeds: int, away: int) -> Iterator[Metric]:
        """Yield everything as metrics; there are *feeds* feeds now, *away* of them without the upstream."""
        yield gauge("upstream_feeds", "Streams of the upstream that viewers share.", feeds)
        yield gauge("upstream_feeds_away", "Those of them that wait for the upstream.", away)
        yield counter_by(
            "upstream_connections",
            "Connections to the upstream, by outcome.",
            "outcome",
            self.connections,
        )
        yield counter_by(
            "upstream_losses", "Feeds that lost the upstream, by close code.", "code", self.losses
        )
        yield counter("upstream_reconnect_attempts", "Attempts to get a feed back.", self.attempts)
        yield counter("upstream_given_up", "Feeds that were given up.", self.given_up)

    def _note_reachable(self) -> None:
        if self.reachable is not True:
            self.reachable = True
            self.log_event("upstream_reachable", url=str(self.upstream.url))
