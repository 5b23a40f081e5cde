"""Findings that probably have one cause: told as one, above the list."""

from collections import defaultdict
from collections.abc import Iterable

from attrs import frozen

from plexwire_conformance.report.summary import Accusation
from plexwire_conformance.run.checks import NO_CLOSE_FRAME, WRONG_CLOSE_CODE


@frozen
class Cause:
    """What several findings have in common, as a sentence, and their checks."""

    sentence: str
    checks: tuple[str, ...]


def probable_causes(accusations: Iterable[Accusation]) -> list[Cause]:
    """Return the causes that explain findings under at least two clauses, those with the most findings first."""
    alike: dict[str, list[Accusation]] = defaultdict(list)
    for accusation in accusations:
        if words := _gist(accusation):
            alike[words].append(accusation)
    causes = [
        Cause(_sentence(words, group), tuple(each.check for each in group))
        for words, group in alike.items()
        if len({each.clause for each in group}) > 1
    ]
    return sorted(causes, key=lambda cause: -len(cause.checks))


def _sentence(words: str, group: list[Accusation]) -> str:
    promises = len({each.clause for each in group})
    return f"{promises} promises, probably one cause: {words}"


def _gist(accusation: Accusation) -> str:
    """Return what may have caused a finding, in words that findings with the same cause share."""
    finding = accusation.finding
    name = finding.check.partition("/")[2]
    match finding.observed:
        case {"ending": {"code": code}} if name == WRONG_CLOSE_CODE:
            wanted = finding.expected.get("code")
            return f"close {code} where {wanted} is expected. Does a proxy rewrite close codes?"
        case {"refusal": {"status": int(status)}}:
            return (
                f"HTTP {status} in answer to the handshake. Does a router or a proxy before the gateway know all "
                "of its addresses?"
            )
        case _:
            pass
    if name == NO_CLOSE_FRAME:
        return "TCP ends without a close frame. Does the server drop a connection when its handler raises?"
    if name in ("member-not-a-string", "cameras-not-strings", "cameras-not-a-list", "no-list"):
        return "members of messages have other types. Does a serialiser write objects or null for them?"
    return ""
