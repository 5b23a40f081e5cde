"""What every report counts, counted once."""

from collections import Counter
from collections.abc import Iterable
from textwrap import shorten
from typing import Final

from attrs import field, frozen

from plexwire_conformance.report.sentences import expected_sentence, observed_sentence, red_sentence
from plexwire_conformance.run.control import CONTROL
from plexwire_conformance.run.events import WHOLE, Part, RunFinished
from plexwire_conformance.run.findings import (
    UNJUDGED,
    CaseResult,
    Finding,
    Trouble,
    Verdict,
    verdicts_by_clause,
)
from plexwire_conformance.run.known_failures import Reckoning

#: The share of the cases that lack no input which must be judged before a run says "conformant".
REQUIRED_SHARE: Final = 0.9
#: Characters of the options that chose a part of the suite, in a sentence, and clauses that one names.
_CHOSEN_BY: Final = 60
_NAMED: Final = 16

#: Troubles after which a run has no say on the gateway as a whole.
_FATAL: Final = frozenset({Trouble.SUITE, Trouble.GONE, Trouble.INTERRUPTED})


@frozen
class Accusation:
    """What was found under one check: the best evidence first, then every other case that saw it.

    `connections` is on how many connections of the run it was seen, `blocks` how many cases it kept from being judged.
    """

    check: str
    sightings: tuple[tuple[CaseResult, Finding], ...]
    blocks: int = 0

    @property
    def clause(self) -> str:
        """The clause that it is about."""
        return self.finding.clause

    @property
    def case(self) -> CaseResult:
        """The case with the best evidence."""
        return self.sightings[0][0]

    @property
    def finding(self) -> Finding:
        """The best evidence."""
        return self.sightings[0][1]

    @property
    def others(self) -> tuple[tuple[CaseResult, Finding], ...]:
        """Where else it was seen."""
        return self.sightings[1:]

    @property
    def connections(self) -> int:
        """On how many connections it was seen."""
        return sum(finding.connections for _, finding in self.sightings)


@frozen
class Summary:
    """A run's results, counted by case and by clause, and compared with the known failures, if there is a file of them."""

    results: tuple[CaseResult, ...]
    reckoning: Reckoning | None = None
    #: Why the gateway could no longer be reached, and when it was last heard, if it had gone.
    gone: str = ""
    gone_at: float = 0.0
    #: What the network did to the run, if that was too much.
    lossy: str = ""
    #: Which part of the suite it was.
    part: Part = WHOLE
    _clauses: dict[str, Verdict] = field(init=False, repr=False)

    def __attrs_post_init__(self) -> None:
        object.__setattr__(self, "_clauses", verdicts_by_clause(self.results))

    @classmethod
    def of(cls, event: RunFinished) -> "Summary":
        """Summarise a run that is over."""
        return cls(
            event.results, event.reckoning, event.gone, event.gone_at, event.lossy, event.part
        )

    @property
    def judged_by(self) -> tuple[CaseResult, ...]:
        """The results of cases, without the observations."""
        return tuple(result for result in self.results if not result.is_observation)

    @property
    def cases(self) -> dict[Verdict, int]:
        """How many cases came out how; every verdict is a key."""
        counted = Counter(result.verdict for result in self.judged_by)
        return {verdict: counted[verdict] for verdict in Verdict}

    @property
    def observed(self) -> dict[Verdict, int]:
        """How many checks were seen to fail only outside the cases that judge their clause; every verdict is a key."""
        counted = Counter(
            each.finding.verdict for each in self.accusations if each.case.is_observation
        )
        return {verdict: counted[verdict] for verdict in Verdict}

    @property
    def clauses(self) -> dict[str, Verdict]:
        """The verdict of each clause that was cited or broken."""
        return self._clauses

    @property
    def clauses_judged(self) -> str:
        """How many clauses came to a verdict, of how many if not all did."""
        judged = sum(verdict not in UNJUDGED for verdict in self.clauses.values())
        cited = len(self.clauses)
        return str(cited) if judged == cited else f"{judged} of {cited}"

    @property
    def size(self) -> str:
        """How many cases there were, and how many clauses they judged."""
        cases = plural(len(self.judged_by), "case")
        return f"{cases}, {self.clauses_judged} clause{'s'[: len(self.clauses) != 1]}"

    @property
    def broken(self) -> int:
        """How many documented promises were broken."""
        return sum(verdict is Verdict.FAIL for verdict in self.clauses.values())

    @property
    def accusations(self) -> list[Accusation]:
        """What was found against the gateway, check by check.

        MUST before SHOULD, what is not known before the rest, and what blocks or appears in the most cases first.
        """
        found: dict[str, list[tuple[CaseResult, Finding]]] = {}
        for result in self.results:
            for finding in result.findings:
                if finding.is_breach:
                    found.setdefault(finding.check, []).append((result, finding))
        blocks = Counter(result.blocked_by for result in self.results)
        accusations = [
            Accusation(check, tuple(sorted(sightings, key=self._weakness)), blocks[check])
            for check, sightings in found.items()
        ]
        places = {clause: place for place, clause in enumerate(self.clauses)}
        return sorted(
            accusations,
            key=lambda each: (
                each.finding.verdict is not Verdict.FAIL,
                self._is_known(each.case, each.finding),
                -each.blocks,
                -len(each.sightings),
                places[each.clause],
            ),
        )

    def _is_known(self, result: CaseResult, finding: Finding) -> bool:
        return (
            self.reckoning is not None and self.reckoning.accepts(result.case, finding) is not None
        )

    def _weakness(self, sighting: tuple[CaseResult, Finding]) -> tuple[bool, bool, bool, int]:
        """Order evidence: what is not known, by a case, not drawn at random, in few lines."""
        result, finding = sighting
        known = self._is_known(result, finding)
        return known, result.is_observation, bool(finding.replay), len(finding.timeline)

    @property
    def dialect(self) -> list[Finding]:
        """What the gateway chose where the sources are silent, in the order of the clauses."""
        places = {clause: place for place, clause in enumerate(self.clauses)}
        chosen = [f for r in self.results for f in r.findings if f.verdict is Verdict.INFO]
        return sorted(chosen, key=lambda finding: places[finding.clause])

    # ── how much was judged ──────────────────────────────────────────────────────────────────

    @property
    def asked(self) -> tuple[CaseResult, ...]:
        """The results of the cases that were selected; the control judges nothing that was asked for."""
        return tuple(result for result in self.judged_by if result.case != CONTROL.id)

    @property
    def share(self) -> float:
        """The share of the selected cases that were judged, of those that lack no input."""
        testable = [r for r in self.asked if r.verdict is not Verdict.UNTESTABLE]
        return sum(r.was_judged for r in testable) / len(testable) if testable else 0.0

    @property
    def exit_code(self) -> int:
        """0 conformant, or as expected; 1 a MUST was broken; 2 could not judge; 3 nothing testable."""
        if self.gone or any(result.trouble is Trouble.INTERRUPTED for result in self.results):
            return 2
        verdicts = {result.verdict for result in self.results}
        if Verdict.FAIL in verdicts if self.reckoning is None else self.reckoning.red:
            return 1
        if any(result.trouble in _FATAL for result in self.results):
            return 2
        if {result.verdict for result in self.asked} <= {Verdict.UNTESTABLE}:
            return 3
        return 0 if self.share >= REQUIRED_SHARE or self._is_known_to_block else 2

    @property
    def _is_known_to_block(self) -> bool:
        """Whether only known failures keep the run from judging enough."""
        if self.reckoning is None:
            return False
        accepted = {entry.check for entry in self.reckoning.accepted}
        silent = [r for r in self.asked if r.verdict in UNJUDGED - {Verdict.UNTESTABLE}]
        others = [r for r in silent if r.blocked_by not in accepted]
        return len(others) <= (1 - REQUIRED_SHARE) * len(self.asked)

    # ── in words ─────────────────────────────────────────────────────────────────────────────

    @property
    def conclusion(self) -> str:
        """The run in one sentence."""
        broken = plural(self.broken, "documented promise")
        match self.exit_code:
            case 2 if self.gone:
                return f"Could not judge: the gateway has not answered since {self.gone_at:.1f} s into the run ({self.gone}). Is it running?"
            case 0 if self.broken:
                return f"As expected: {broken} broken, and each is a known failure."
            case 0:
                return f"Conformant{self._scope}: no documented promise was broken."
            case 1 if self.reckoning is not None:
                counted = Counter(red.colour.value for red in self.reckoning.red)
                parts = ", ".join(f"{count} {colour}" for colour, count in counted.items())
                return f"Not as expected: {parts}; {broken} broken."
            case 1:
                return f"Not conformant: {broken} broken."
            case 2 if reason := self._no_devices:
                return f"Could not judge: {reason}."
            case 2 if self.lossy:
                return f"Could not judge: the network loses connections ({self.lossy})."
            case 2:
                judged = sum(result.was_judged for result in self.asked)
                return f"Could not judge: only {judged} of {plural(len(self.asked), 'case')} came to a verdict."
            case _:
                return "Nothing could be tested."

    @property
    def _no_devices(self) -> str:
        """Why no device can connect to the target as it was given, if that is so."""
        reasons = (r.reason for r in self.results if r.trouble is Trouble.NO_DEVICES)
        return next(reasons, "")

    @property
    def _scope(self) -> str:
        """What "conformant" is limited to, if not all cases of the suite were judged."""
        judged = sum(result.was_judged for result in self.asked)
        cases = len(self.asked) + self.part.left_out
        if judged == cases:
            return ""
        chosen_by = shorten(self.part.chosen_by, _CHOSEN_BY, placeholder=" …")
        of = f"{judged} of {cases} cases"
        return f" as far as judged ({', '.join(filter(None, (of, chosen_by)))})"

    @property
    def advice(self) -> str:
        """What to begin with, and what is missing, in a sentence each; empty if there is nothing to do."""
        sentences = []
        if self.exit_code == 1 and self.reckoning is not None:
            sentences.append(f"Begin with {red_sentence(self.reckoning.red[0])}")
        elif accusations := self.accusations:
            first = accusations[0]
            verb = "Begin with" if first.finding.verdict is Verdict.FAIL else "Not followed:"
            sentences.append(f"{verb} {first.check}: {observed_sentence(first.finding)}")
            sentences.append(f"Expected: {expected_sentence(first.finding)}")
            if first.blocks:
                sentences.append(f"It keeps {plural(first.blocks, 'case')} from being judged.")
        for verdict, one, several in (
            (Verdict.ERROR, "ended without a verdict", "ended without a verdict"),
            (Verdict.UNTESTABLE, "lacks an input", "lack an input"),
        ):
            reasons = [why for silent, why in unjudged(self.results) if silent is verdict]
            if reasons:
                more = f", and {plural(len(reasons) - 1, 'other reason')}" if reasons[1:] else ""
                count = self.cases[verdict]
                words = one if count == 1 else several
                sentences.append(f"{plural(count, 'case')} {words}: {reasons[0]}{more}.")
        sentences += self._left_out
        return " ".join(sentences)

    @property
    def _left_out(self) -> list[str]:
        """What the part of the suite that ran does not judge."""
        if not self.part.left_out:
            return []
        unjudged = self.part.unjudged
        cases = plural(self.part.left_out, "case")
        if not unjudged:
            they = "it judges" if self.part.left_out == 1 else "they judge"
            return [f"{cases} did not run; what {they}, others judged too."]
        named = f": {', '.join(unjudged)}" if len(unjudged) <= _NAMED else ""
        verb = "was" if len(unjudged) == 1 else "were"
        return [
            f"{cases} did not run, so {plural(len(unjudged), 'clause')} {verb} not judged{named}."
        ]


def unjudged(results: Iterable[CaseResult]) -> dict[tuple[Verdict, str], list[str]]:
    """Return the cases that came to no verdict, by the verdict that says so and by the reason."""
    reasons: dict[tuple[Verdict, str], list[str]] = {}
    for result in results:
        if result.verdict in UNJUDGED:
            reason = f"{result.blocked_by} is in the way" if result.blocked_by else result.reason
            reasons.setdefault((result.verdict, reason), []).append(result.case)
    return reasons


def plural(count: int, noun: str) -> str:
    """Return so many of *noun*."""
    return f"{count} {noun}{'s'[: count != 1]}"
