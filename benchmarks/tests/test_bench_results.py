"""What the benchmark concludes from its runs, and how it writes that down."""

from xml.etree import ElementTree

import pytest
from hypothesis import given
from hypothesis import strategies as st

from plexwire_bench import gateways
from plexwire_bench.drawing import draw
from plexwire_bench.frames import BINARY, client_frame, mask
from plexwire_bench.load import bound_by
from plexwire_bench.plans import DEFAULT, FULL, Plan
from plexwire_bench.results import Run, summarise
from plexwire_bench.terminal import heading, table_text

WINDOW = Plan.parse("window:100000:10")
FLOOD = Plan.parse("flood:100000:10")


def run(figure: str, value: float, bound: str = "gateway") -> Run:
    return {figure: value, "bound_by": bound}


@pytest.mark.parametrize("text", [*DEFAULT, *FULL])
def test_plan_is_written_as_it_is_read(text: str) -> None:
    assert str(Plan.parse(text)) == text


@pytest.mark.parametrize(
    "text",
    [
        "",
        "window",
        "idle:1000:1",
        "window:1000:0",
        "window:1000:501",
        "window:1:1",
        "flood:x:1",
        "paced:1000:1:1:5",
    ],
)
def test_plan_refuses_what_it_does_not_run(text: str) -> None:
    with pytest.raises(ValueError, match=r"MODE|needs|more than|invalid literal"):
        Plan.parse(text)


def test_ratio_is_of_one_round_when_rounds_differ() -> None:
    slow_round = {"plexwire": run("us_per_frame", 40), "picows": run("us_per_frame", 20)}
    fast_round = {"plexwire": run("us_per_frame", 20), "picows": run("us_per_frame", 10)}
    table = summarise(WINDOW, [slow_round, fast_round, fast_round])
    (ours,) = (row for row in table.rows if row.gateway == "plexwire")
    assert (ours.figure, ours.to_best, ours.to_floor) == (20, 2.0, None)
    assert ours.spread == 1.0


@pytest.mark.parametrize(("plan", "best"), [(WINDOW, "few"), (FLOOD, "many")])
def test_best_peer_is_chosen_by_what_the_plan_counts(plan: Plan, best: str) -> None:
    one = {
        name: run(plan.figure, value)
        for name, value in (("few", 1.0), ("many", 9.0), ("floor", 0.1), ("plexwire", 0.2))
    }
    assert summarise(plan, [one]).best == best


def test_our_own_gateways_are_no_peers_of_ours() -> None:
    names = (gateways.FLOOR, *gateways.MORE_NAMES, gateways.OURS, gateways.LANE)
    assert summarise(WINDOW, [{name: run("us_per_frame", 1) for name in names}]).best is None


def test_heading_counts_devices_and_cameras_where_there_are_several() -> None:
    assert heading(WINDOW) == "window, 100 kB, 10 viewers"
    many = "paced, 30 kB, 2 viewers per device, 3 devices, 4 cameras"
    assert heading(Plan.parse("paced:30000:2:3:4")) == many


def test_table_reports_the_generator_when_it_was_the_bottleneck() -> None:
    table = summarise(FLOOD, [{"picows": run("frames_per_s", 10, "generator")}])
    assert "load generator is the bottleneck" in table_text(table)


def test_table_is_silent_when_the_gateway_was_the_bottleneck() -> None:
    table = summarise(FLOOD, [{"picows": run("frames_per_s", 10)}])
    assert table_text(table).splitlines()[-1].split()[0] == "picows"
    assert "bottleneck" not in table_text(table)


@pytest.mark.parametrize(
    ("gateway", "generator", "bound"),
    [
        (0.97, 0.6, "gateway"),
        (0.85, 0.99, "generator"),
        (0.3, 0.9, "generator"),
        (0.4, 0.4, "machine"),
    ],
)
def test_bottleneck_is_who_had_no_cpu_left(gateway: float, generator: float, bound: str) -> None:
    assert bound_by(gateway, generator) == bound


def test_chart_is_xml_and_escapes_names() -> None:
    table = summarise(WINDOW, [{"<&": run("us_per_frame", 10)}])
    root = ElementTree.fromstring(draw([table], "5 < 6"))
    texts = [element.text or "" for element in root.iter() if element.tag.endswith("text")]
    assert "<&" in texts
    assert "5 < 6" in texts


@given(st.binary(max_size=70_000), st.binary(min_size=4, max_size=4))
def test_masked_frame_is_read_back(payload: bytes, key: bytes) -> None:
    frame = client_frame(BINARY, payload, key)
    assert mask(frame[len(frame) - len(payload) :], key) == payload


@given(st.binary(min_size=1, max_size=99), st.binary(min_size=4, max_size=4), st.integers(0, 98))
def test_mask_of_a_part_goes_by_its_offset(payload: bytes, key: bytes, offset: int) -> None:
    assert mask(mask(payload, key)[offset:], key, offset) == payload[offset:]
