"""What operators are given beside the program: dashboard, unit and handbook, none of them out of date."""

import json
import re
import shlex
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final

import pytest
import trio
from prometheus_client.parser import text_string_to_metric_families

from plexwire_server import Gateway, KeyStore, LogEvent, Upstream, open_edge
from plexwire_server._log import json_line
from plexwire_server._startup_message import describe
from plexwire_server.cli import serve
from plexwire_trio import GatewayUrl

SERVER: Final = Path(__file__).parents[1]
HANDBOOK: Final = (SERVER.parent / "docs" / "operators.md").read_text("utf-8")
DASHBOARD: Final[dict[str, Any]] = json.loads(
    (SERVER / "grafana-dashboard.json").read_text("utf-8")
)
UNIT: Final = (SERVER / "plexwire.service").read_text("utf-8")

PANELS: Final[list[dict[str, Any]]] = DASHBOARD["panels"]
SOURCE: Final = {"type": "prometheus", "uid": "${DS_PROMETHEUS}"}


def exported() -> set[str]:
    """Return every metric of a gateway and of an edge, as its family is called in a query."""

    async def edge_page() -> str:
        async with open_edge(Upstream(url=GatewayUrl.parse("ws://upstream.example"))) as edge:
            return str(edge.metrics_page().body)

    pages = (str(Gateway(KeyStore()).metrics_page().body), trio.run(edge_page))
    return {
        f"{family.name}_total" if family.type == "counter" else family.name
        for page in pages
        for family in text_string_to_metric_families(page)
    }


# ── the dashboard ────────────────────────────────────────────────────────────────────────────


def queries() -> Iterator[str]:
    for panel in PANELS:
        yield from (target["expr"] for target in panel.get("targets", ()))
    yield from (each["query"]["query"] for each in DASHBOARD["templating"]["list"])


def test_dashboard_shows_every_metric_there_is_and_no_other() -> None:
    named = {
        name.removesuffix("_bucket")
        for query in queries()
        for name in re.findall(r"\bplexwire_\w+", query)
    }
    assert named == exported()


def test_dashboard_can_be_imported_anywhere() -> None:
    assert [given["name"] for given in DASHBOARD["__inputs"]] == ["DS_PROMETHEUS"]
    for panel in PANELS:
        if panel["type"] != "row":
            assert panel["datasource"] == SOURCE
            assert panel["targets"]
            assert all(target["datasource"] == SOURCE for target in panel["targets"])
            assert panel["title"]
            assert panel["description"].endswith(".")
    assert len({panel["id"] for panel in PANELS}) == len(PANELS)
    assert "id" not in DASHBOARD  # Grafana gives its own


def test_dashboard_has_no_panel_upon_another() -> None:
    taken: set[tuple[int, int]] = set()
    for panel in PANELS:
        at = panel["gridPos"]
        cells = {
            (x, y)
            for x in range(at["x"], at["x"] + at["w"])
            for y in range(at["y"], at["y"] + at["h"])
        }
        assert not cells & taken
        assert at["x"] + at["w"] <= 24
        taken |= cells


# ── the unit ─────────────────────────────────────────────────────────────────────────────────


def test_unit_starts_what_the_program_understands(tmp_path: Path) -> None:
    [command] = re.findall(r"(?m)^ExecStart=((?:.*\\\n)*.*)$", UNIT)
    program, name, *arguments = shlex.split(command.replace("\\\n", " "))
    assert (program, name) == ("/opt/plexwire/bin/plexwire", "serve")
    context = serve.make_context(name, [word.replace("%d", str(tmp_path)) for word in arguments])
    loaded = set(re.findall(r"(?m)^LoadCredential=([\w.]+):", UNIT))
    assert {context.params[name].name for name in ("keys_file", "tls_cert", "tls_key")} == loaded


@pytest.mark.skipif(
    shutil.which("systemd-analyze") is None, reason="systemd-analyze is not installed"
)
def test_unit_is_well_formed_to_systemd(tmp_path: Path) -> None:
    program = tmp_path / "plexwire"
    program.write_text("#!/bin/sh\n")
    program.chmod(0o755)
    unit = tmp_path / "plexwire.service"
    unit.write_text(UNIT.replace("/opt/plexwire/bin/plexwire", str(program)))
    done = subprocess.run(
        ["systemd-analyze", "verify", "--man=no", str(unit)],
        capture_output=True,
        text=True,
        timeout=20,
        check=False,
    )
    complaints = [line for line in done.stderr.splitlines() if "plexwire" in line]
    assert (done.returncode, complaints) == (0, [])


# ── the handbook ─────────────────────────────────────────────────────────────────────────────


def test_handbook_lists_every_metric_there_is_and_no_other() -> None:
    assert set(re.findall(r"(?m)^\| `(plexwire_\w+)` \|", HANDBOOK)) == exported()


def test_handbook_lists_every_event_of_the_log_and_no_other() -> None:
    [table] = re.findall(r"\| event \|.*?\n\n", HANDBOOK, re.DOTALL)
    listed = {
        name
        for row in table.strip().splitlines()[2:]
        for name in re.findall(r"`(\w+)`", row.split("|")[1])
    }
    written = {
        name
        for file in (SERVER / "plexwire_server").rglob("*.py")
        for name in re.findall(r'(?:LogEvent|log_event)\(\s*"(\w+)"', file.read_text("utf-8"))
    }
    assert listed == written


@pytest.mark.skipif(shutil.which("jq") is None, reason="jq is not installed")
def test_handbook_finds_a_connection_in_a_journal_that_holds_the_greeting_too() -> None:
    [asked] = re.findall(r"(?m)^journalctl .* \| (jq .*)$", HANDBOOK)
    events = [
        LogEvent("started", {}),
        LogEvent("connection", {"code": 1001}),
        LogEvent("connection", {"code": 1011}),
    ]
    greeting = describe("wss://gateway.example:443", None, version="1")
    journal = "\n".join(("Started a gateway.", greeting, *map(json_line, events), ""))
    done = subprocess.run(
        shlex.split(asked), input=journal, capture_output=True, text=True, timeout=20, check=True
    )
    found = json.loads(done.stdout)
    assert (found["event"], found["code"], done.stderr) == ("connection", 1011, "")


def test_handbook_names_no_option_that_does_not_exist() -> None:
    known = {
        option
        for parameter in serve.params
        for option in (*parameter.opts, *parameter.secondary_opts)
    }
    known |= {"--file", "--organisation", "--name", "--scope", "--device-url", "--now"}
    named = set(re.findall(r"(?<![\w-])--[a-z][a-z-]+", HANDBOOK))
    assert "--upstream" in named
    assert named <= known
