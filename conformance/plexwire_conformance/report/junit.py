"""The report as JUnit XML, for CI services."""

import re
from typing import Final, TextIO
from xml.etree import ElementTree

from plexwire_conformance.report.run_description import About
from plexwire_conformance.report.sentences import red_sentence
from plexwire_conformance.report.wording import replay_command, say, say_finding
from plexwire_conformance.run.events import RunEvent, RunFinished, RunStarted
from plexwire_conformance.run.findings import CaseResult, Finding, Verdict
from plexwire_conformance.run.known_failures import Reckoning
from plexwire_spec import Level, clauses

#: What XML 1.0 can't hold, even escaped.
_FORBIDDEN: Final = re.compile(r"[^\t\n\r\x20-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")


class JunitReport:
    """Writes the run to *out* once it is over: a suite an area, a test case a case.

    Where failures are expected, a failing case whose failures are all accepted is skipped, and one with anything red fails.
    """

    def __init__(self, out: TextIO) -> None:
        self._out = out
        self._about: About | None = None

    def listen(self, event: RunEvent) -> None:
        """Take one event of the run."""
        match event:
            case RunStarted():
                self._about = About.of(event)
            case RunFinished() if self._about is not None:
                self._out.write(
                    render(event, self._about.url, self._about.place, self._about.called)
                )
            case _:
                pass


def render(event: RunFinished, url: str, place: str, called: str = "") -> str:
    """Return the XML of a finished run at *url*, which is *called* something if the suite ran it.

    *place* are the options by which the command line names the target.
    """
    root = ElementTree.Element("testsuites")
    areas: dict[str, list[CaseResult]] = {}
    for result in event.results:
        areas.setdefault(result.case.partition(".")[0], []).append(result)
    for area, results in areas.items():
        suite = ElementTree.SubElement(root, "testsuite", {"name": f"plexwire.{area}"})
        properties = ElementTree.SubElement(suite, "properties")
        ElementTree.SubElement(properties, "property", {"name": "url", "value": url})
        if called:
            ElementTree.SubElement(properties, "property", {"name": "called", "value": called})
        for result in results:
            _case(suite, result, event.reckoning, place)
        seconds = sum(result.seconds for result in results)
        suite.attrib.update(_counts(suite) | {"time": f"{seconds:.3f}"})
    # The schema that Jenkins holds files against knows no skipped here.
    counts = {name: count for name, count in _counts(root).items() if name != "skipped"}
    root.attrib.update(counts | {"time": f"{event.seconds:.3f}"})
    ElementTree.indent(root)
    xml = ElementTree.tostring(root, encoding="unicode")
    return f"<?xml version='1.0' encoding='utf-8'?>\n{xml}\n"


def _counts(element: ElementTree.Element) -> dict[str, str]:
    counted = {"tests": "testcase", "failures": "failure", "errors": "error", "skipped": "skipped"}
    return {name: str(sum(1 for _ in element.iter(tag))) for name, tag in counted.items()}


def _case(
    suite: ElementTree.Element, result: CaseResult, reckoning: Reckoning | None, place: str
) -> None:
    area, _, name = result.case.partition(".")
    attributes = {
        "classname": f"plexwire.{area}",
        "name": name or area,
        "time": f"{result.seconds:.3f}",
    }
    element = ElementTree.SubElement(suite, "testcase", attributes)
    breaches = [finding for finding in result.findings if finding.level is Level.MUST]
    red = () if reckoning is None else reckoning.of_case(result.case)
    story = "\n\n".join(_story(finding, result.case, place) for finding in breaches)
    match result.verdict:
        case _ if red:
            text = "\n\n".join((*map(red_sentence, red), story))
            _outcome(element, "failure", red_sentence(red[0]), text, type=red[0].check)
        case Verdict.FAIL if reckoning is not None:
            entries = [reckoning.accepts(result.case, finding) for finding in breaches]
            reasons = [f"{e.check}: {e.reason} {e.issue}".strip() for e in entries if e is not None]
            _outcome(element, "skipped", f"expected to fail: {'; '.join(reasons)}", story)
        case Verdict.FAIL:
            first = breaches[0]
            _outcome(element, "failure", say_finding(first), story, type=first.check)
        case Verdict.ERROR:
            _outcome(element, "error", result.reason)
        case Verdict.BLOCKED:
            _outcome(element, "skipped", f"blocked by {result.blocked_by}: {result.reason}")
        case Verdict.UNTESTABLE:
            _outcome(element, "skipped", result.reason)
        case _:
            pass
    others = [finding for finding in result.findings if finding.level is not Level.MUST]
    if others:
        out = ElementTree.SubElement(element, "system-out")
        out.text = _clean("\n".join(map(say_finding, others)))


def _outcome(
    parent: ElementTree.Element, tag: str, message: str, text: str = "", **attributes: str
) -> None:
    child = ElementTree.SubElement(parent, tag, {**attributes, "message": _clean(message)})
    child.text = _clean(text) or None


def _story(finding: Finding, case_id: str, place: str) -> str:
    lines = [
        say_finding(finding),
        clauses()[finding.clause].text,
        replay_command(finding, case_id, place),
    ]
    lines += [f"{e.at:9.3f} s  {e.peer}  {e.way}  {say(e)}" for e in finding.timeline]
    return "\n".join(lines)


def _clean(text: str) -> str:
    return _FORBIDDEN.sub("\N{REPLACEMENT CHARACTER}", text)
