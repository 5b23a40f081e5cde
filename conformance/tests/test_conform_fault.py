"""`plexwire conform --fault`: a failing report to look at, and every report says which gateway it is about."""

import json
from pathlib import Path
from xml.etree import ElementTree

import pytest
from click.testing import CliRunner, Result

from plexwire_conformance.cli import main
from plexwire_conformance.report.stored_runs import read_run

CALLED = "the reference gateway with the fault auth.policy-violation: closes with 1008 for an auth that it can't read"


def run(*words: str) -> Result:
    return CliRunner().invoke(main, words)


def test_conform_shows_a_failing_report_of_a_fault(tmp_path: Path) -> None:
    kinds = ("html", "report", "junit", "markdown")
    files = {kind: tmp_path / f"run.{kind}" for kind in kinds}
    options = [word for kind, path in files.items() for word in (f"--{kind}", str(path))]
    only = ("--only", "auth.not-json", "--only", "auth.key-malformed")
    shown = run("conform", "--fault", "auth.policy-violation", *only, "--github", *options)
    assert shown.exit_code == 1, shown.output
    assert " ".join(shown.stdout.split()).count(f"Judged: {CALLED}.") == 2
    assert f"<dd>{CALLED.replace(chr(39), '&#39;')}</dd>" in files["html"].read_text("utf-8")
    assert CALLED in files["markdown"].read_text("utf-8")
    assert json.loads(files["report"].read_text("utf-8").splitlines()[0])["called"] == CALLED
    assert read_run(files["report"]).about.called == CALLED
    root = ElementTree.fromstring(files["junit"].read_text("utf-8"))
    assert {p.get("value") for p in root.iter("property") if p.get("name") == "called"} == {CALLED}
    again = "plexwire replay auth.not-json --fault auth.policy-violation"
    for path in (files["html"], files["junit"], files["markdown"]):
        assert again in path.read_text("utf-8")
    assert run(*again.split()[1:]).exit_code == 1


def test_conform_without_url_says_that_it_judged_the_reference_gateway() -> None:
    shown = run("conform", "--only", "auth.not-json")
    assert shown.exit_code == 0, shown.output
    assert shown.stdout.rstrip().endswith("Judged: the reference gateway (no URL was given).")


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (
            ("--fault", "auth.policy"),
            "there is no fault auth.policy; did you mean auth.policy-viol",
        ),
        (("ws://127.0.0.1:9", "--fault", "auth.policy-violation"), "leave out ws://127.0.0.1:9"),
        (("--fault", "auth.policy-violation", "ws://127.0.0.1:9"), "leave out ws://127.0.0.1:9"),
    ],
)
def test_conform_refuses_a_fault_that_is_unknown_or_goes_with_a_url(
    words: tuple[str, ...], message: str
) -> None:
    shown = run("conform", *words)
    assert shown.exit_code == 2
    assert message in " ".join(shown.stderr.split())
