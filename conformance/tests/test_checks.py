"""The register of checks: ids are for ever, and each sentence can be filled with what its findings have."""

import ast
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from string import Formatter

import pytest
from click.testing import CliRunner

import plexwire_conformance
from plexwire_conformance.cases.programs import EVERY_CASE
from plexwire_conformance.run.case import AnyCase
from plexwire_conformance.run.checks import Check, checks
from plexwire_conformance.run.control import CONTROL
from plexwire_conformance.run.monitor import MONITORED
from plexwire_spec import Level, clauses
from plexwire_spec.cli import spec

#: Every id that was ever published, one a line.  Lines are added here and never taken away.
PINNED = Path(__file__).with_name("check-ids.txt").read_text("utf-8").split()

EVERY_CHECK = pytest.mark.parametrize("check", list(checks().values()), ids=list(checks()))


@pytest.mark.parametrize("check_id", PINNED)
def test_check_that_was_published_is_still_there(check_id: str) -> None:
    assert check_id in checks(), f"{check_id} is gone; ids are for ever: bring the check back"


def test_every_check_is_pinned() -> None:
    new = sorted(set(checks()) - set(PINNED))
    assert not new, f"add to {Path(__file__).with_name('check-ids.txt').name}: {' '.join(new)}"
    assert len(set(PINNED)) == len(PINNED)


def test_specification_lists_every_check_with_its_sentences() -> None:
    done = CliRunner(catch_exceptions=False).invoke(spec, ["--checks"])
    assert done.exit_code == 0
    lines = done.stdout.splitlines()
    assert [line for line in lines if not line.startswith(" ")] == list(checks())
    at = lines.index("PW-INIT-5/online-camera-missing")
    assert [line.strip() for line in lines[at + 1 : at + 3]] == [
        "init lists <camera>, which sends and was asked for.",
        "init lists <listed> for this source.",
    ]


@EVERY_CHECK
def test_check_is_about_a_clause_that_can_be_judged(check: Check) -> None:
    clause = clauses()[check.clause]
    # The monitor judges what no case can bring about.
    assert not clause.untestable or clause.id in MONITORED


@EVERY_CHECK
def test_check_has_two_sentences_and_a_choice_has_one(check: Check) -> None:
    is_choice = clauses()[check.clause].level is Level.OPEN
    assert bool(check.expected) is not is_choice
    for sentence in filter(None, (check.expected, check.observed)):
        assert sentence.endswith(".")
        assert sentence[0].isupper() or sentence[0] == "{" or sentence.split()[0].isidentifier()


@EVERY_CHECK
def test_check_can_be_reported_by_a_case_or_by_the_monitor(check: Check) -> None:
    answering = {
        name for one in (CONTROL, *EVERY_CASE.values()) for name in (*one.clauses, *one.may_find)
    }
    assert check.clause in answering | set(MONITORED)


@pytest.mark.parametrize("one", [CONTROL, *EVERY_CASE.values()], ids=lambda one: one.id)
def test_case_cites_clauses_that_have_a_check(one: AnyCase) -> None:
    assert {*one.clauses, *one.may_find} <= {check.clause for check in checks().values()}


# ── what cases pass, against what sentences need ─────────────────────────────────────────────


class Unknown(Exception):
    """What a call passes can't be told from the source."""


class Module:
    """One module of the suite: the places where it reports a check, and the members that it gives."""

    def __init__(self, path: Path) -> None:
        self.tree = ast.parse(path.read_text("utf-8"))
        self.functions = {
            node.name: node
            for node in ast.walk(self.tree)
            if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)
        }

    def reports(self) -> Iterator[tuple[str, set[str]]]:
        """Yield each check id, or `*` and the name of a check, with the members of its findings."""
        for function in self.functions.values():
            for node in ast.walk(function):
                if isinstance(node, ast.Call) and (name := _called(node)) in _REPORTING:
                    with suppress(Unknown):
                        yield from self._report(name, node, function)

    def _report(
        self, name: str, call: ast.Call, function: ast.AST
    ) -> Iterator[tuple[str, set[str]]]:
        if name == "endure":
            for check_id in self._ids(call.args[1], function):
                yield check_id, {"left", "words"}
            return
        options = {each.arg: each.value for each in call.keywords if each.arg is not None}
        given: set[str] = {"path"} if "path" in options else set()
        if name == "chose":
            given |= set(options)
        else:
            first = 1 + (name == "Breach")
            members = dict(zip(("expected", "observed"), call.args[first:], strict=False))
            members |= {n: v for n, v in options.items() if n in ("expected", "observed")}
            if name == "Breach" and len(call.args) > 4:
                given.add("path")
            if name == "refuse":
                members.pop("observed", None)
                given.add("refusal")
            for value in members.values():
                given |= self._members(value, function)
        for check_id in self._ids(call.args[0], function):
            yield check_id, given

    def _ids(self, node: ast.expr, function: ast.AST) -> list[str]:
        match node:
            case ast.Constant(value=str(check_id)):
                return [check_id]
            case ast.JoinedStr(values=[*_, ast.Constant(value=str(tail))]) if tail.startswith("/"):
                return [f"*{tail}"]
            case ast.IfExp(body=one, orelse=other):
                return [*self._ids(one, function), *self._ids(other, function)]
            case ast.Name(id=name) if name not in _loop_variables(function):
                found = [
                    i for value in _assigned(name, function) for i in self._ids(value, function)
                ]
                if found:
                    return found
        raise Unknown

    def _members(self, node: ast.expr, function: ast.AST) -> set[str]:
        match node:
            case ast.Dict(keys=keys, values=values):
                names: set[str] = set()
                for key, value in zip(keys, values, strict=True):
                    match key:
                        case None:
                            names |= self._members(value, function)
                        case ast.Constant(value=str(name)):
                            names.add(name)
                        case _:
                            raise Unknown
                return names
            case ast.Constant(value=None):
                return set()
            case ast.Name(id=name):
                assigned = _assigned(name, function)
                if not assigned:
                    raise Unknown
                return set().union(*(self._members(value, function) for value in assigned))
            case ast.Call(func=ast.Name(id=name)) if name in self.functions:
                called = self.functions[name]
                returned = [n.value for n in ast.walk(called) if isinstance(n, ast.Return)]
                return set().union(*(self._members(v, called) for v in returned if v is not None))
        raise Unknown


_REPORTING = {"find", "find_and_stop", "refuse", "chose", "endure", "Breach", "Disagreement"}


def _called(call: ast.Call) -> str:
    match call.func:
        case ast.Attribute(attr=name) | ast.Name(id=name):
            return name
    return ""


def _assigned(name: str, function: ast.AST) -> list[ast.expr]:
    found: list[ast.expr] = []
    for node in ast.walk(function):
        match node:
            case ast.Assign(targets=[ast.Name(id=target)], value=value) if target == name:
                found.append(value)
            case ast.Assign(targets=[ast.Tuple(elts=targets)], value=ast.Tuple(elts=values)):
                found += [
                    value
                    for target, value in zip(targets, values, strict=False)
                    if isinstance(target, ast.Name) and target.id == name
                ]
            case ast.AnnAssign(target=ast.Name(id=target), value=ast.expr() as value) if (
                target == name
            ):
                found.append(value)
    return found


def _loop_variables(function: ast.AST) -> set[str]:
    loops = [node.target for node in ast.walk(function) if isinstance(node, ast.For)]
    names = (name for target in loops for name in ast.walk(target))
    return {name.id for name in names if isinstance(name, ast.Name)}


def needed(check: Check) -> set[str]:
    sentences = (check.expected, check.observed)
    fields = (field for sentence in sentences for field in Formatter().parse(sentence))
    return {name for _, name, _, _ in fields if name}


ROOT = Path(plexwire_conformance.__file__).parent
REPORTS = [
    (path.relative_to(ROOT).as_posix(), check_id, members)
    for folder in ("cases", "scripts", "run")
    for path in sorted((ROOT / folder).rglob("*.py"))
    for check_id, members in Module(path).reports()
]


#: Those that are reported by their whole id; another one may be reported by its name, with whatever clause a case is about.
NAMED = {check_id for _, check_id, _ in REPORTS}


def meant_by(check_id: str) -> list[Check]:
    if check_id in checks():
        return [checks()[check_id]]
    name = check_id.removeprefix("*")
    return [c for c in checks().values() if c.id == c.clause + name and c.id not in NAMED]


@pytest.mark.parametrize(("module", "check_id", "members"), REPORTS)
def test_report_has_every_member_that_the_sentences_of_its_check_need(
    module: str, check_id: str, members: set[str]
) -> None:
    meant = meant_by(check_id)
    assert meant, f"{module} reports {check_id}, which is not in checks.toml"
    assert {check.id: needed(check) - members for check in meant if needed(check) - members} == {}


def test_most_reports_can_be_read_from_the_source() -> None:
    """The test above would see nothing if its reading of the source went wrong; `plexwire selftest` sees the others."""
    read = {check.id for check_id in NAMED for check in meant_by(check_id)}
    assert len(read) > 0.75 * len(checks())
