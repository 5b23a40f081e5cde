"""The table per clause: cases, faults and killed mutants, counted from the registers."""

import json
from pathlib import Path

import pytest
from click.testing import CliRunner

from plexwire_conformance.cases import CASES
from plexwire_conformance.commands.selftest import selftest
from plexwire_conformance.commands.sensitivity import (
    BadSummary,
    as_table,
    read_killed,
    sensitivity,
)
from plexwire_conformance.faults import FAULTS
from plexwire_spec import clauses


def test_table_has_a_row_for_each_clause() -> None:
    rows = {row.clause.id: row for row in sensitivity(None)}
    assert set(rows) == set(clauses())
    assert all(row.cases or row.clause.untestable for row in rows.values())
    assert as_table(list(rows.values())).row_count == len(rows)


def test_table_counts_the_cases_and_faults_of_a_clause() -> None:
    (row,) = [row for row in sensitivity({"PW-INIT-3": 7}) if row.clause.id == "PW-INIT-3"]
    assert row.cases == sum("PW-INIT-3" in case.clauses for case in CASES.values())
    broken = [f for f in FAULTS.values() if "PW-INIT-3" in {f.clause, *f.also}]
    assert row.faults == len(broken) > 0
    assert row.killed == 7


def test_command_prints_the_table_with_the_mutants_of_a_summary(tmp_path: Path) -> None:
    summary = tmp_path / "summary.json"
    summary.write_text(json.dumps({"killed_by_clause": {"PW-INIT-3": 4711}}), "utf-8")
    result = CliRunner().invoke(selftest, ["--coverage", "--mutants", str(summary)])
    assert result.exit_code == 0
    lines = {line.split()[0]: line.split() for line in result.stdout.splitlines()}
    assert lines["PW-INIT-3"][-1] == "4711"
    assert lines["PW-INIT-4"][-1] == "0"


@pytest.mark.parametrize("text", ["", "[]", "{}", '{"killed_by_clause": {"PW-INIT-3": "many"}}'])
def test_command_refuses_a_file_that_is_not_a_summary(tmp_path: Path, text: str) -> None:
    summary = tmp_path / "summary.json"
    summary.write_text(text, "utf-8")
    with pytest.raises(BadSummary, match=r"summary\.json is not a summary"):
        read_killed(summary)
    result = CliRunner().invoke(selftest, ["--coverage", "--mutants", str(summary)])
    assert result.exit_code == 2
    assert "summary.json is not a summary" in result.stderr
