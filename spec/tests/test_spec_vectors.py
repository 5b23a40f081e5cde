"""Every vector against the core and against the schema of its file, and once more in another language."""

import json
import os
import shutil
import subprocess
from collections import Counter
from collections.abc import Mapping
from importlib.resources import files
from pathlib import Path
from typing import Any

import pytest
from jsonschema import Draft202012Validator

from plexwire_protocol import (
    AddressRefused,
    MalformedMessage,
    Refusal,
    Role,
    StreamAddress,
    Unknown,
    decode,
    encode,
)
from plexwire_spec import VECTOR_FILES, Kind, Vector, clauses, vectors

READER = Path(__file__).parent.with_name("vectors-reader.mjs")


def _outcome(vector: Vector) -> Mapping[str, Any]:
    """What the core makes of *vector*."""
    try:
        if vector.kind is Kind.ADDRESS:
            address = StreamAddress.parse(vector.input)
            cameras = list(address.cameras)
            members = {
                "source_id": address.source_id,
                "cameras": cameras,
                "timeout": address.timeout,
            }
            return {"accepted": members}
        assert vector.sender is not None
        message = decode(vector.data, sender=Role(vector.sender.value))
    except (AddressRefused, MalformedMessage) as error:
        return {"refused": error.refusal.value}
    if isinstance(message, Unknown):
        return {"ignored": message.name}
    return {"accepted": json.loads(encode(message))}


@pytest.mark.parametrize("vector", vectors().values(), ids=vectors())
def test_core_given_a_vector_has_its_outcome(vector: Vector) -> None:
    outcome = _outcome(vector)
    match vector.outcome, outcome:
        case {"accepted": dict(due)}, {"accepted": dict(read)}:
            assert {name: read.get(name, "(absent)") for name in due} == due
            assert all(type(read[name]) is type(value) for name, value in due.items())
        case _:
            assert outcome == vector.outcome


@pytest.mark.parametrize("name", [*VECTOR_FILES, "distinct-cameras"])
def test_vectors_of_a_file_follow_its_schema(name: str) -> None:
    folder = files("plexwire_spec").joinpath("vectors")
    schema = json.loads(folder.joinpath("vectors.schema.json").read_text("utf-8"))
    Draft202012Validator.check_schema(schema)
    Draft202012Validator(schema).validate(
        json.loads(folder.joinpath(f"{name}.json").read_text("utf-8"))
    )


def test_vectors_hit_every_refusal() -> None:
    refused = Counter(v.outcome["refused"] for v in vectors().values() if "refused" in v.outcome)
    assert set(refused) == {refusal.value for refusal in Refusal}


def test_vectors_schema_knows_the_refusals_of_the_core() -> None:
    text = files("plexwire_spec").joinpath("vectors", "vectors.schema.json").read_text("utf-8")
    named = json.loads(text)["$defs"]["outcome"]["properties"]["refused"]["enum"]
    assert named == [refusal.value for refusal in Refusal]


def test_vectors_are_many_and_rest_on_real_clauses() -> None:
    assert len(vectors()) >= 150
    assert not [v.id for v in vectors().values() if v.clause not in clauses()]


def _node_major() -> int:
    node = shutil.which("node")
    if node is None:
        return 0
    version = subprocess.run([node, "--version"], capture_output=True, text=True, check=True)
    return int(version.stdout.removeprefix("v").partition(".")[0])


def test_javascript_reader_runs_every_text_and_binary_vector() -> None:
    if _node_major() < 20:
        pytest.skip("needs Node 20 or later")
    run = subprocess.run(
        ["node", os.fspath(READER)], capture_output=True, text=True, timeout=30, check=False
    )
    due = [v for v in vectors().values() if v.kind is not Kind.ADDRESS]
    held_back = [v for v in due if v.needs]
    assert run.stdout == f"{len(due) - len(held_back)} passed, 0 failed, {len(held_back)} skipped\n"
    assert run.returncode == 0
