"""Gateways that embed the core, judged: nothing but advice may be said against them."""

import time

from plexwire_conformance.cases.profiles import PROFILES
from plexwire_conformance.cases.selection import select
from plexwire_conformance.run.findings import Verdict
from plexwire_conformance.run.runner import Runner, Settings
from plexwire_conformance.target.target import Target


async def advice_not_followed(target: Target, profile: str) -> set[str]:
    """See that *target* breaks no promise and passes many cases; return the clauses that it is warned under."""
    settings = Settings(nonce="embedded", unix_ms=time.time_ns() // 1_000_000)
    run = await Runner(target, settings).run(select((), (), PROFILES[profile]), lambda event: None)
    assert [r for r in run.results if r.verdict in (Verdict.FAIL, Verdict.ERROR)] == []
    assert sum(r.verdict is Verdict.PASS for r in run.results) > 40
    return {f.clause for r in run.results for f in r.findings if f.verdict is Verdict.WARN}
