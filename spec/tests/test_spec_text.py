"""The normative text: complete, fresh, and its examples true."""

import json
import re
import subprocess
import sys
from pathlib import Path

import pytest
from jsonschema import Draft202012Validator

from plexwire_protocol import Role, Unknown, decode
from plexwire_protocol.tables import (
    DEVICE_CONVERSATION,
    VIEWER_CONVERSATION,
    ConversationTable,
    render_mermaid,
)
from plexwire_spec import clauses, schemas, specification_text

GENERATOR = Path(__file__).parent.with_name("tools") / "generate.py"

_EXAMPLE = re.compile(r"^```json (\S+)\n(.*?)^```", re.MULTILINE | re.DOTALL)
_GENERATED = re.compile(r"<!-- generated: .*?<!-- end -->", re.DOTALL)


def test_text_has_no_block_that_is_out_of_date() -> None:
    run = subprocess.run(
        [sys.executable, str(GENERATOR), "--check"],
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert (run.returncode, run.stderr) == (0, "")


def test_text_holds_every_clause_with_an_anchor_and_its_words() -> None:
    text = specification_text()
    for clause in clauses().values():
        assert f'<a id="{clause.id}"></a>{clause.id} |' in text
        assert re.sub(r"PW-[A-Z]+-[0-9]+", r"[\g<0>]", clause.text) in text


def test_text_written_by_hand_speaks_of_nearly_every_clause() -> None:
    prose = _GENERATED.sub("", specification_text())
    unsaid = [clause_id for clause_id in clauses() if f"[{clause_id}]" not in prose]
    assert len(unsaid) < 0.25 * len(clauses()), unsaid


def test_text_names_no_clause_that_does_not_exist() -> None:
    assert set(re.findall(r"PW-[A-Z]+-[0-9]+", specification_text())) <= set(clauses())


@pytest.mark.parametrize(
    "conversation", [VIEWER_CONVERSATION, DEVICE_CONVERSATION], ids=lambda c: str(c.name)
)
def test_text_shows_the_diagram_that_the_core_draws(
    conversation: ConversationTable,
) -> None:
    assert render_mermaid(conversation) in specification_text()


def test_text_shows_an_example_of_every_message_that_the_core_reads() -> None:
    shown = {name for name, _ in _EXAMPLE.findall(specification_text())}
    assert shown <= set(schemas())
    assert len(shown) >= 9


@pytest.mark.parametrize(("name", "example"), _EXAMPLE.findall(specification_text()))
def test_example_of_a_message_validates_and_is_read(name: str, example: str) -> None:
    Draft202012Validator(schemas()[name]).validate(json.loads(example))
    direction, _, kind = name.partition(".")
    message = decode(example, sender=Role(direction.partition("-")[0]))
    assert (message.name if isinstance(message, Unknown) else message.type) == kind


def test_every_section_that_the_text_refers_to_is_there() -> None:
    text = specification_text()
    headings = set(re.findall(r"^#+ ([0-9]+(?:\.[0-9]+)?)\.? ", text, re.MULTILINE))
    prose = re.sub(r"RFC [0-9]+,? section [0-9.]+", "", text)
    assert set(re.findall(r"section ([0-9]+(?:\.[0-9]+)?)", _GENERATED.sub("", prose))) <= headings


def test_limits_that_may_be_lower_elsewhere_say_how_low_in_their_clause_too() -> None:
    row = re.compile(r"^\|(?:[^|\n]*\|){3} ([0-9][^|\n]*?) \| \[(PW-LIM-[67])\] \|$", re.MULTILINE)
    rows = row.findall(specification_text())
    assert len(rows) == 4
    for least, clause_id in rows:
        assert re.search(rf"\b{least}\b", clauses()[clause_id].instead), (clause_id, least)
