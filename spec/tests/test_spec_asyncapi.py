"""The AsyncAPI document: valid by the official schema, its references and examples true."""

import json
import os
import shutil
import subprocess
import tarfile
from collections.abc import Iterator
from functools import cache
from importlib.resources import files
from pathlib import Path
from typing import Any

import pytest
import yaml
from jsonschema import Draft7Validator, Draft202012Validator

from plexwire_protocol import DEVICE_PATH, Role, decode
from plexwire_protocol.limits import MAX_CAMERAS, MAX_ID_BYTES, MAX_TIMEOUT_S
from plexwire_spec import SCHEMAS, asyncapi_text, clauses, schemas

#: The official schema ships in an npm package; it is fetched once and kept.
PACKAGE = "@asyncapi/specs@6.11.1"
MEMBER = "package/schemas/3.0.0.json"


@cache
def _document() -> dict[str, Any]:
    document: dict[str, Any] = yaml.safe_load(asyncapi_text())
    return document


def _cache() -> Path:
    base = os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache"
    return Path(base) / "plexwire" / "asyncapi-3.0.0.json"


def _official_schema() -> dict[str, Any]:
    kept = _cache()
    if not kept.exists():
        if shutil.which("npm") is None:
            pytest.skip("needs npm, to fetch the official schema once")
        if not os.environ.get("CI"):
            pytest.skip("run it once with CI=1 to fetch the official schema")
        kept.parent.mkdir(parents=True, exist_ok=True)
        packed = subprocess.run(
            ["npm", "pack", "--silent", PACKAGE],
            cwd=kept.parent,
            capture_output=True,
            text=True,
            timeout=120,
            check=True,
        )
        archive = kept.parent / packed.stdout.split()[-1]
        with tarfile.open(archive) as bundle:
            member = bundle.extractfile(MEMBER)
            assert member is not None
            kept.write_bytes(member.read())
        archive.unlink()
    schema: dict[str, Any] = json.loads(kept.read_text("utf-8"))
    return schema


def _references(node: object) -> Iterator[str]:
    if isinstance(node, dict):
        for name, inner in node.items():
            if name == "$ref":
                yield inner
            else:
                yield from _references(inner)
    elif isinstance(node, list):
        for inner in node:
            yield from _references(inner)


def _resolved(reference: str) -> Any:
    node: Any = _document()
    for step in reference.removeprefix("#/").split("/"):
        node = node[step]
    return node


def test_document_is_valid_by_the_official_schema() -> None:
    validator = Draft7Validator(_official_schema())
    assert [f"{e.json_path}: {e.message}" for e in validator.iter_errors(_document())] == []
    broken = {**_document(), "chanels": {}}
    assert list(validator.iter_errors(broken))


def test_document_has_no_reference_that_leads_nowhere() -> None:
    for reference in _references(_document()):
        if reference.startswith("#/"):
            assert _resolved(reference)
        else:
            assert files("plexwire_spec").joinpath(reference.removeprefix("./")).is_file()


def test_document_refers_to_every_schema_once() -> None:
    named = [r for r in _references(_document()) if r.startswith("./schemas/")]
    assert sorted(named) == sorted(f"./schemas/{name}.schema.json" for name in SCHEMAS)


_MESSAGES: dict[str, Any] = _document()["components"]["messages"]
_TEXTS = [name for name in _MESSAGES if name != "binaryFrame"]


@pytest.mark.parametrize("name", _TEXTS)
def test_examples_of_a_message_validate_and_are_read(name: str) -> None:
    message = _MESSAGES[name]
    schema_name = message["payload"]["schema"]["$ref"].split("/")[-1].removesuffix(".schema.json")
    assert message["name"] == schema_name.partition(".")[2]
    assert message["examples"]
    for example in message["examples"]:
        Draft202012Validator(schemas()[schema_name]).validate(example["payload"])
        decode(json.dumps(example["payload"]), sender=Role(schema_name.partition("-")[0]))


def test_example_of_a_binary_frame_is_read() -> None:
    frame = decode(bytes.fromhex(_MESSAGES["binaryFrame"]["x-example-hex"]), sender=Role.DEVICE)
    assert frame.type == "video_frame"


def test_channels_are_at_the_addresses_of_the_core() -> None:
    viewer, device = _document()["channels"].values()
    assert viewer["address"] == "/v1/sources/{source_id}/video/stream"
    assert device["address"] == DEVICE_PATH
    query = viewer["bindings"]["ws"]["query"]["properties"]
    assert query["camera_id"]["maxItems"] == MAX_CAMERAS
    assert query["camera_id"]["items"]["maxLength"] == MAX_ID_BYTES
    assert query["timeout"]["maximum"] == MAX_TIMEOUT_S


def test_every_message_of_a_channel_is_sent_or_received() -> None:
    listed = {
        f"#/channels/{channel}/messages/{message}"
        for channel, described in _document()["channels"].items()
        for message in described["messages"]
    }
    used = {r for r in _references(_document()["operations"]) if "/messages/" in r}
    assert used == listed


def test_document_names_real_clauses_alone() -> None:
    named = {word.strip("[],.") for word in asyncapi_text().split() if "PW-" in word}
    assert named <= set(clauses())
