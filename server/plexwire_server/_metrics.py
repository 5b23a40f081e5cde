"""Counters of a gateway, and their Prometheus text."""

from collections import Counter
from collections.abc import Mapping
from typing import Final, TypeAlias

from attrs import define, field

from plexwire_protocol import CloseCode, Role
from plexwire_server._report import ConnectionReport

#: The content type of the Prometheus text format.
CONTENT_TYPE: Final = "text/plain; version=0.0.4; charset=utf-8"

#: Why a viewer missed a frame: a newer one came before it could take it.
REPLACED: Final = "replaced"

_Labels: TypeAlias = tuple[tuple[str, str], ...]


def _counter() -> "Counter[str]":
    return Counter()


def _counter_by_role() -> "Counter[tuple[str, str]]":
    return Counter()


@define(eq=False)
class Metrics:
    """What a gateway counts, from its start on."""

    frames_in: int = 0
    frames_out: int = 0
    bytes_in: int = 0
    bytes_out: int = 0
    crashes: int = 0
    key_check_failures: int = 0
    dropped: Counter[str] = field(factory=_counter)
    closes: Counter[tuple[str, str]] = field(factory=_counter_by_role)
    auth_refusals: Counter[tuple[str, str]] = field(factory=_counter_by_role)
    http_answers: Counter[str] = field(factory=_counter)

    def note_end(self, report: ConnectionReport) -> None:
        """Count a connection that is over."""
        if report.status is not None:
            self.http_answers[str(report.status)] += 1
        if report.close is None or report.role is None:
            return
        if report.role is Role.VIEWER:
            self.dropped[REPLACED] += report.dropped
        labels = (report.role.value, _code_label(report.close.code))
        self.closes[labels] += 1
        if report.auth_refused:
            self.auth_refusals[labels] += 1

    def render(
        self, *, viewers: int, devices: int, unauthenticated: int, waiting: int, replaced: int
    ) -> str:
        """Return everything in the Prometheus text format.

        What is so right now is the caller's to know: streaming *viewers* and *devices*, connections that are
        *unauthenticated* yet, frames *waiting* for these viewers, and frames that were *replaced* before these viewers
        could take them.
        """
        dropped = self.dropped + Counter({REPLACED: replaced})
        page = _Page()
        page.gauge("viewers", "Viewers that are streaming.", viewers)
        page.gauge("devices", "Devices that are streaming.", devices)
        page.gauge("unauthenticated", "Connections without a good auth yet.", unauthenticated)
        page.gauge("frames_waiting", "Frames that wait for their viewer.", waiting)
        page.count("frames_received", "Frames taken from devices.", self.frames_in)
        page.count("frames_sent", "Frames sent to viewers.", self.frames_out)
        page.count("frame_bytes_received", "Bytes of pictures from devices.", self.bytes_in)
        page.count("frame_bytes_sent", "Bytes of frame messages to viewers.", self.bytes_out)
        page.counts(
            "frames_dropped",
            "Frames that did not get through, by reason.",
            {(("reason", reason),): n for reason, n in dropped.items()},
        )
        page.counts("closes", "Streams that ended, by role and close code.", _by_role(self.closes))
        page.counts(
            "auth_refusals",
            "Peers turned away at their auth, by role and close code.",
            _by_role(self.auth_refusals),
        )
        page.counts(
            "http_answers",
            "Plain HTTP answers, by status.",
            {(("status", status),): n for status, n in self.http_answers.items()},
        )
        page.count("crashes", "Connections lost to an error of the gateway.", self.crashes)
        page.count("key_check_failures", "Keys that could not be checked.", self.key_check_failures)
        return "\n".join(page.lines) + "\n"


@define
class _Page:
    lines: list[str] = field(factory=list[str])

    def gauge(self, name: str, text: str, value: int) -> None:
        self._add(f"plexwire_{name}", "gauge", text, {(): value})

    def count(self, name: str, text: str, value: int) -> None:
        self.counts(name, text, {(): value})

    def counts(self, name: str, text: str, values: Mapping[_Labels, int]) -> None:
        self._add(f"plexwire_{name}_total", "counter", text, values)

    def _add(self, name: str, kind: str, text: str, values: Mapping[_Labels, int]) -> None:
        self.lines += [f"# HELP {name} {text}", f"# TYPE {name} {kind}"]
        for labels, value in sorted(values.items()):
            inner = ",".join(f'{label}="{word}"' for label, word in labels)
            self.lines.append(f"{name}{{{inner}}} {value}" if inner else f"{name} {value}")


def _by_role(counts: Mapping[tuple[str, str], int]) -> dict[_Labels, int]:
    return {(("role", role), ("code", code)): n for (role, code), n in counts.items()}


def _code_label(code: int) -> str:
    # A peer may choose among thousands of codes; each new one would be a series for ever.
    return str(int(code)) if code in set(CloseCode) else "other"
