"""What every report counts, counted once."""

from collections import Counter
from collections.abc import Iterable

from attrs import frozen

from plexwire_conformance.run.control import CONTROL
from plexwire_conformance.run.findings import CaseResult, Finding, Verdict, verdicts_by_clause
from plexwire_conformance.run.known_failures import Reckoning


@frozen
class Accusation:
    """What was found under one clause: the best evidence first, then wherever else it was seen."""

    clause: str
    sightings: tuple[tuple[CaseResult, Finding], ...]

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
        """Wherever else it was seen."""
        return self.sightings[1:]


@frozen
class Summary:
    """A run's results, counted by case and by clause, and held against what was expected, where anything was."""

    results: tuple[CaseResult, ...]
    reckoning: Reckoning | None = None

    @classmethod
    def of(cls, results: Iterable[CaseResult], reckoning: Reckoning | None = None) -> "Summary":
        """Summarise *results*."""
        return cls(tuple(results), reckoning)

    @property
    def cases(self) -> dict[Verdict, int]:
        """How many cases came out how; every verdict is a key."""
        counted = Counter(result.verdict for result in self.results)
        return {verdict: counted[verdict] for verdict in Verdict}

    @property
    def clauses(self) -> dict[str, Verdict]:
        """The verdict of each clause that was cited or broken."""
        return verdicts_by_clause(self.results)

    @property
    def broken(self) -> int:
        """How many documented promises were broken."""
        return sum(verdict is Verdict.FAIL for verdict in self.clauses.values())

    @property
    def accusations(self) -> list[Accusation]:
        """What was found against the gateway, clause by clause: MUST before SHOULD, what nobody knew before the rest."""
        found: dict[str, list[tuple[CaseResult, Finding]]] = {}
        for result in self.results:
            for finding in result.findings:
                if finding.verdict in (Verdict.FAIL, Verdict.WARN):
                    found.setdefault(finding.clause, []).append((result, finding))
        accusations = [
            Accusation(clause, tuple(sorted(found[clause], key=self._weakness)))
            for clause in self.clauses
            if clause in found
        ]
        return sorted(
            accusations,
            key=lambda each: (
                each.finding.verdict is not Verdict.FAIL,
                self._is_known(each.case, each.finding),
            ),
        )

    def _is_known(self, result: CaseResult, finding: Finding) -> bool:
        return (
            self.reckoning is not None and self.reckoning.accepts(result.case, finding) is not None
        )

    def _weakness(self, sighting: tuple[CaseResult, Finding]) -> tuple[bool, bool, bool, int]:
        """Order evidence: what nobody knew, by a case that is about it, drawn by nobody, in few words."""
        result, finding = sighting
        known = self._is_known(result, finding)
        cited = finding.clause in result.clauses
        return known, not cited, bool(finding.replay), len(finding.timeline)

    @property
    def dialect(self) -> list[Finding]:
        """What the gateway chose where the sources leave it open, in the order of the clauses."""
        places = {clause: place for place, clause in enumerate(self.clauses)}
        chosen = [f for r in self.results for f in r.findings if f.verdict is Verdict.INFO]
        return sorted(chosen, key=lambda finding: places[finding.clause])

    @property
    def advice(self) -> str:
        """What is wrong first of all, or missing, in a sentence each; empty where there is nothing to do."""
        sentences = []
        if self.exit_code == 1 and self.reckoning is not None:
            sentences.append(f"Begin with {self.reckoning.red[0]}.")
        elif accusations := self.accusations:
            first, finding = accusations[0], accusations[0].finding
            verb = "Begin with" if finding.verdict is Verdict.FAIL else "Not followed:"
            wanted = f"; expected {finding.expected}" if finding.expected else ""
            by = f"{first.clause}, by {first.case.case}"
            sentences.append(f"{verb} {by}: {finding.actual}{wanted}.")
        for verdict, words in (
            (Verdict.ERROR, "ended in an error"),
            (Verdict.UNTESTABLE, "not judged"),
        ):
            reasons = [why for silent, why in unjudged(self.results) if silent is verdict]
            if reasons:
                more = f", and {plural(len(reasons) - 1, 'other reason')}" if reasons[1:] else ""
                sentences.append(
                    f"{plural(self.cases[verdict], 'case')} {words}: {reasons[0]}{more}."
                )
        return " ".join(sentences)

    @property
    def exit_code(self) -> int:
        """0 conformant, or as expected; 1 violations; 2 could not judge; 3 nothing testable."""
        verdicts = {result.verdict for result in self.results}
        if Verdict.FAIL in verdicts if self.reckoning is None else self.reckoning.red:
            return 1
        if Verdict.ERROR in verdicts:
            return 2
        # The control shows that there is a gateway, and judges nothing that anybody asked for.
        asked = {result.verdict for result in self.results if result.case != CONTROL.id}
        return 3 if asked <= {Verdict.UNTESTABLE} else 0

    @property
    def conclusion(self) -> str:
        """The run in one sentence."""
        broken = plural(self.broken, "documented promise")
        match self.exit_code:
            case 0 if self.broken:
                return f"As expected: {broken} broken, and each is a known failure."
            case 0:
                return "Conformant: no documented promise was broken."
            case 1 if self.reckoning is not None:
                counted = Counter(red.colour.value for red in self.reckoning.red)
                parts = ", ".join(f"{count} {colour}" for colour, count in counted.items())
                return f"Not as expected: {parts}; {broken} broken."
            case 1:
                return f"Not conformant: {broken} broken."
            case 2:
                return "Could not judge all of it, and found nothing broken in the rest."
            case _:
                return "Nothing could be tested."


def unjudged(results: Iterable[CaseResult]) -> dict[tuple[Verdict, str], list[str]]:
    """Return the cases that came to no verdict, by whether that is an error or an untestable case, and by the reason."""
    reasons: dict[tuple[Verdict, str], list[str]] = {}
    for result in results:
        if result.verdict in (Verdict.ERROR, Verdict.UNTESTABLE):
            reasons.setdefault((result.verdict, result.reason), []).append(result.case)
    return reasons


def plural(count: int, noun: str) -> str:
    """Return so many of *noun*."""
    return f"{count} {noun}{'s'[: count != 1]}"
