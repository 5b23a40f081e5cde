"""`plexwire spec`."""

import re
import sys
from collections.abc import Callable
from pathlib import Path
from types import ModuleType

import pytest
from attrs import frozen
from click.testing import CliRunner, Result

from plexwire_spec import AREAS, Level, Party, clauses
from plexwire_spec.cli import spec


@frozen
class Case:
    """What the command sees of a case."""

    id: str
    clauses: tuple[str, ...]


@frozen
class Check:
    """What the command sees of a check."""

    id: str
    expected: str
    observed: str


def run(*arguments: str) -> Result:
    return CliRunner(catch_exceptions=False).invoke(spec, arguments)


def listed(result: Result) -> set[str]:
    """The clauses that a listing has a line for."""
    return set(re.findall(r"^  (PW-\S+)", result.stdout, re.MULTILINE))


@pytest.fixture
def suite(monkeypatch: pytest.MonkeyPatch) -> Callable[..., None]:
    """Put a suite with the given cases in the place of the real one."""

    def install(*cases: Case) -> None:
        module = ModuleType("plexwire_conformance.cases.programs")
        module.__dict__["EVERY_CASE"] = {case.id: case for case in cases}
        for name in ("plexwire_conformance", "plexwire_conformance.cases"):
            monkeypatch.setitem(sys.modules, name, ModuleType(name))
        monkeypatch.setitem(sys.modules, module.__name__, module)

    return install


@pytest.fixture
def no_suite(monkeypatch: pytest.MonkeyPatch) -> None:
    class Hidden:
        def find_spec(self, name: str, *_: object) -> None:
            if name.startswith(("plexwire_conformance", "markdown_it")):
                raise ModuleNotFoundError(f"No module named {name!r}", name=name)

    for name in list(sys.modules):
        if name.startswith(("plexwire_conformance", "plexwire_spec._page", "markdown_it")):
            monkeypatch.delitem(sys.modules, name)
    monkeypatch.setattr(sys, "meta_path", [Hidden(), *sys.meta_path])


def test_command_without_arguments_lists_every_clause() -> None:
    result = run()
    assert result.exit_code == 0
    assert all(clause_id in result.stdout for clause_id in clauses())
    assert all(f"{area} · " in result.stdout for area in AREAS)


@pytest.mark.parametrize("level", Level)
@pytest.mark.parametrize("role", Party)
def test_command_given_level_and_role_lists_those_alone(level: Level, role: Party) -> None:
    due = {c.id for c in clauses().values() if c.level is level and c.role is role}
    assert listed(run("--level", level.value.lower(), "--role", role.value)) == due


def test_command_given_an_area_lists_it_alone() -> None:
    due = {c.id for c in clauses().values() if c.area == "TIME"}
    assert listed(run("--area", "time")) == due


def test_command_given_a_clause_shows_its_sources_cases_and_vectors(
    suite: Callable[..., None],
) -> None:
    suite(Case("auth.plain", ("PW-AUTH-2",)), Case("auth.late", ("PW-AUTH-3", "PW-AUTH-2")))
    result = run("pw-auth-2")
    assert result.exit_code == 0
    assert "PW-AUTH-2 · MUST, binds the gateway" in result.stdout
    assert "the guide (G), the live-streams reference (L)" in result.stdout
    assert "auth.plain, auth.late" in result.stdout
    assert "auth-plain" in result.stdout


def test_command_given_a_decision_shows_why_and_what_else_is_right(
    suite: Callable[..., None],
) -> None:
    suite()
    result = run("PW-TIME-4")
    assert "why:" in result.stdout
    assert "instead:" in result.stdout
    assert "no case" in result.stdout


def test_command_given_a_clause_that_does_not_exist_names_the_nearest() -> None:
    result = run("PW-AUHT-2")
    assert result.exit_code == 2
    assert "PW-AUTH-2" in result.stderr
    assert "Traceback" not in result.output


@pytest.mark.usefixtures("no_suite")
def test_command_without_the_suite_names_the_extra() -> None:
    for option in ("--coverage", "--untested", "--checks"):
        result = run(option)
        assert result.exit_code == 2
        assert "plexwire[conformance]" in result.stderr
    shown = run("PW-AUTH-2")
    assert shown.exit_code == 0
    assert "plexwire[conformance]" in shown.stdout


@pytest.mark.usefixtures("no_suite")
def test_command_without_the_markdown_library_names_the_extra() -> None:
    result = run("--html", "-")
    assert result.exit_code == 2
    assert "plexwire[tools]" in result.stderr


def test_command_given_untested_lists_the_clauses_without_a_case(
    suite: Callable[..., None],
) -> None:
    suite(Case("auth.plain", ("PW-AUTH-2",)))
    assert listed(run("--untested")) == {*clauses()} - {"PW-AUTH-2"}


def test_command_given_coverage_with_a_bare_clause_exits_1_and_names_it(
    suite: Callable[..., None],
) -> None:
    testable = [c.id for c in clauses().values() if not c.untestable]
    suite(Case("all.but.one", tuple(testable[1:])))
    result = run("--coverage")
    assert result.exit_code == 1
    assert result.stderr == f"Neither a case nor a reason: {testable[0]}.\n"


def test_command_given_coverage_with_every_clause_covered_exits_0(
    suite: Callable[..., None],
) -> None:
    testable = [c.id for c in clauses().values() if not c.untestable]
    suite(Case("all", tuple(testable)))
    result = run("--coverage")
    assert result.exit_code == 0
    assert f"{len(testable)} with a case" in result.stdout
    assert "0 with neither" in result.stdout


def test_command_given_checks_lists_them_with_their_sentences(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    module = ModuleType("plexwire_conformance.run.checks")
    module.__dict__["checks"] = lambda: {
        check.id: check
        for check in (
            Check("PW-AUTH-12/binary-auth", "", "An auth in a binary message is {outcome}."),
            Check("PW-INIT-2/init-late", "Within {within:s}.", "After {after:s}."),
        )
    }
    for name in ("plexwire_conformance", "plexwire_conformance.run"):
        monkeypatch.setitem(sys.modules, name, ModuleType(name))
    monkeypatch.setitem(sys.modules, module.__name__, module)
    lines = [line.strip() for line in run("--checks").stdout.splitlines()]
    assert lines == [
        "PW-AUTH-12/binary-auth",
        "An auth in a binary message is <outcome>.",
        "PW-INIT-2/init-late",
        "Within <within>.",
        "After <after>.",
    ]
    assert run("--checks", "--area", "INIT").stdout.splitlines()[0] == "PW-INIT-2/init-late"
    assert run("--checks", "--role", "viewer").stdout == "No clause like that has a check.\n"


def test_command_given_two_modes_refuses() -> None:
    result = run("PW-AUTH-2", "--coverage")
    assert result.exit_code == 2
    assert "not several" in result.stderr


def test_command_given_a_file_that_can_not_be_written_says_so(tmp_path: Path) -> None:
    result = run("--html", str(tmp_path / "nowhere" / "spec.html"))
    assert result.exit_code == 2
    assert "No such file" in result.stderr
