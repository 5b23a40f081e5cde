"""Faulty sessions use only the names that the core offers to subclasses."""

import ast
import inspect
import re
from pathlib import Path

import pytest

from plexwire_conformance import faults
from plexwire_protocol import (
    GatewayDeviceSession,
    GatewayViewerSession,
    Session,
    StreamAddress,
)

SESSIONS: tuple[Session, ...] = (
    GatewayViewerSession(StreamAddress(source_id="drone-01"), now=0.0),
    GatewayDeviceSession(now=0.0),
)
#: Every name with an underscore that a session of the core has.
PRIVATE = {
    name for session in SESSIONS for name in dir(session) if re.fullmatch(r"_[a-z]\w*", name)
}
OFFERED = set(re.findall(r"`(_\w+)", inspect.getdoc(Session) or ""))
MODULES = sorted(Path(faults.__file__).parent.glob("*.py"))


def test_core_has_every_name_that_it_offers_to_subclasses() -> None:
    assert "_put" in OFFERED
    assert OFFERED <= PRIVATE


@pytest.mark.parametrize("module", MODULES, ids=lambda module: module.stem)
def test_fault_uses_only_names_that_the_core_offers_to_subclasses(module: Path) -> None:
    used = set()
    for node in ast.walk(ast.parse(module.read_text("utf-8"))):
        match node:
            case ast.Attribute(attr=name) | ast.FunctionDef(name=name):
                used.add(name)
            case _:
                pass

    assert used & PRIVATE <= OFFERED
