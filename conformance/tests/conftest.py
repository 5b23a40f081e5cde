"""The tests judge the reference gateway without naming it, which a job in CI may not."""

import pytest


@pytest.fixture(autouse=True)
def outside_ci(monkeypatch: pytest.MonkeyPatch) -> None:
    """Have each test, and what it starts, run as on somebody's desk; a test of the rule sets `CI` itself."""
    monkeypatch.delenv("CI", raising=False)
