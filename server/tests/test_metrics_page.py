"""What /metrics says, read by the official parser: valid, complete, and right after a known conversation."""

import json
from collections.abc import Iterator, Mapping
from typing import TypeAlias

import pytest
import trio
import trio.testing
from attrs import evolve
from edge_bench import Wire, open_edge_bench
from gateway_bench import ADDRESS, open_bench
from hypothesis import given
from hypothesis import strategies as st
from prometheus_client.parser import text_string_to_metric_families

from plexwire_protocol import CloseCode, VideoFrame, __version__, encode, encode_device_frame
from plexwire_server import Gateway, Limits
from plexwire_server._metric_families import Histogram, counter_by
from plexwire_server._metrics import code_label
from plexwire_server.edge._upstream import DELAY_S, MAX_ATTEMPTS
from plexwire_server.http._metrics_page import metrics_response

FRAME = VideoFrame(
    source_id="robot-01", camera_id="front", jpeg=b"\xff\xd8abc", width=1, height=1, timestamp=0
)

Samples: TypeAlias = dict[tuple[str, frozenset[tuple[str, str]]], float]


def samples(text: str) -> Samples:
    """Return every sample on a page; a doubled one is an error."""
    read: Samples = {}
    for family in text_string_to_metric_families(text):
        assert family.type in ("gauge", "counter", "histogram")
        assert family.documentation.endswith(".")
        for sample in family.samples:
            at = (sample.name, frozenset(sample.labels.items()))
            assert at not in read
            read[at] = sample.value
    return read


def pick(read: Samples, name: str, **labels: str) -> float | None:
    return read.get((f"plexwire_{name}", frozenset(labels.items())))


def changes(before: Samples, after: Samples) -> dict[str, float]:
    """Return what has moved, but histograms and gauges, by its name as it stands on the page."""
    return {
        name.removeprefix("plexwire_")
        + "".join(f" {label}={word}" for label, word in sorted(labels)): value - was
        for (name, labels), value in after.items()
        if name.endswith("_total") and (was := before.get((name, labels), 0.0)) != value
    }


def page_of(gateway: Gateway) -> Samples:
    return samples(str(gateway.metrics_page().body))


# ── a known conversation ─────────────────────────────────────────────────────────────────────


async def test_counters_are_right_after_a_known_conversation(
    autojump_clock: trio.testing.MockClock,
) -> None:
    async with open_bench(limits=Limits(streams_per_key=2)) as bench:
        before = page_of(bench.gateway)
        viewers = [await bench.viewer() for _ in range(2)]
        device = await bench.device()
        for stamp in range(5):
            await device.say(encode_device_frame(evolve(FRAME, timestamp=stamp)))
            for viewer in viewers:
                await viewer.hear()
        await device.say(b"\x01")
        await device.say("no JSON")
        await (await bench.knock_as_viewer("plx_no")).hear_the_end()
        await (await bench.knock_as_viewer(bench.keys.no_access_key)).hear_the_end()
        await (await bench.knock_as_device("plx_no")).hear_the_end()
        await (await bench.knock_as_viewer(bench.keys.api_key)).hear_the_end()  # no more room
        silent = await bench.open(ADDRESS.target())
        await silent.hear_the_end()
        await viewers[0].ws.aclose(1000)
        await viewers[1].stream.aclose()
        await device.ws.aclose(4321)
        await trio.testing.wait_all_tasks_blocked()

        size = len(encode(FRAME))
        assert changes(before, page_of(bench.gateway)) == {
            "frames_received_total": 5,
            "frame_bytes_received_total": 5 * len(FRAME.jpeg),
            "frames_sent_total": 10,
            "frame_bytes_sent_total": 10 * size,
            "frames_dropped_total reason=truncated": 1,
            "frames_dropped_total reason=not_json": 1,
            "closes_total code=1000 role=viewer": 1,
            "closes_total code=1006 role=viewer": 1,
            "closes_total code=4001 role=viewer": 2,
            "closes_total code=4002 role=viewer": 1,
            "closes_total code=4001 role=device": 1,
            f"closes_total code={code_label(1013)} role=viewer": 1,
            "closes_total code=other role=device": 1,
            "auth_refusals_total code=4001 role=viewer": 2,
            "auth_refusals_total code=4002 role=viewer": 1,
            "auth_refusals_total code=4001 role=device": 1,
        }


async def test_counter_of_replaced_frames_never_goes_back_while_a_viewer_leaves(
    autojump_clock: trio.testing.MockClock,
) -> None:
    """A counter that goes back is a restart to Prometheus, which adds all of it once more."""
    async with open_bench() as bench:
        stalled = await bench.viewer(pair=trio.testing.lockstep_stream_pair)
        device = await bench.device()
        for stamp in range(20):
            await device.say(encode_device_frame(evolve(FRAME, timestamp=stamp)))
            await trio.testing.wait_all_tasks_blocked()

        def replaced() -> float | None:
            return pick(page_of(bench.gateway), "frames_dropped_total", reason="replaced")

        before = replaced()
        assert before is not None
        assert before > 10
        # Text that is not UTF-8: the gateway fails the connection, and waits for the viewer to read that it did.
        await stalled.stream.send_all(b"\x81\x82\0\0\0\0\xff\xff")
        for _ in range(60):
            await trio.sleep(0.1)
            assert replaced() == before
        assert not bench.gateway.hub.viewers


async def test_gauges_are_what_is_there_now(autojump_clock: trio.testing.MockClock) -> None:
    async with open_bench() as bench:
        began = bench.gateway.metrics.started
        await bench.viewer()
        await bench.device()
        await bench.open(ADDRESS.target())
        read = page_of(bench.gateway)
        assert pick(read, "viewers") == pick(read, "devices") == pick(read, "unauthenticated") == 1
        assert pick(read, "frames_waiting") == 0
        assert pick(read, "build_info", version=__version__) == 1
        assert pick(read, "start_time_seconds") == began > 1.7e9


async def test_frame_delay_is_measured_from_arrival_to_the_viewer(
    autojump_clock: trio.testing.MockClock,
) -> None:
    async with open_bench() as bench:
        prompt = await bench.viewer()
        device = await bench.device()
        await device.say(encode_device_frame(FRAME))
        await prompt.hear()
        stalled = await bench.viewer(pair=trio.testing.lockstep_stream_pair)
        for stamp in range(1, 9):
            await device.say(encode_device_frame(evolve(FRAME, timestamp=stamp)))
            await prompt.hear()
        await trio.sleep(3)
        stamp = 0
        while stamp != 8:
            stamp = (await stalled.hear())["timestamp"]
        await trio.testing.wait_all_tasks_blocked()

        read = page_of(bench.gateway)
        sent = pick(read, "frames_sent_total")
        assert pick(read, "frame_delay_seconds_count") == sent
        assert pick(read, "frame_delay_seconds_bucket", le="+Inf") == sent
        # The one that was being written when the viewer stalled, and the newest one, which waited for it.
        late = sent - (pick(read, "frame_delay_seconds_bucket", le="2.5") or 0) if sent else 0
        assert late == 2
        assert pick(read, "frame_delay_seconds_bucket", le="0.001") == (sent or 0) - late
        assert pick(read, "frame_delay_seconds_sum") == pytest.approx(3 * late)


# ── an edge ──────────────────────────────────────────────────────────────────────────────────


async def test_edge_counts_whom_its_upstream_accepts_and_what_every_gateway_counts(
    autojump_clock: trio.testing.MockClock,
) -> None:
    async with open_bench() as upstream, open_edge_bench(Wire(upstream)) as edge:
        before = page_of(edge.gateway)
        assert set(page_of(upstream.gateway)) <= set(before)
        viewers = [await edge.viewer() for _ in range(2)]
        await (await edge.knock_as_viewer("plx_no")).hear_the_end()
        device = await upstream.device()
        await device.say(encode_device_frame(FRAME))
        for viewer in viewers:
            await viewer.hear()
        await trio.testing.wait_all_tasks_blocked()
        after = page_of(edge.gateway)
        assert (pick(after, "upstream_feeds"), pick(after, "upstream_feeds_away")) == (1, 0)
        assert changes(before, after) == {
            "frames_received_total": 1,
            "frame_bytes_received_total": len(FRAME.jpeg),
            "frames_sent_total": 2,
            "frame_bytes_sent_total": 2 * len(encode(FRAME)),
            "closes_total code=4001 role=viewer": 1,
            "auth_refusals_total code=4001 role=viewer": 1,
            "upstream_connections_total outcome=accepted": 2,
            "upstream_connections_total outcome=refused": 1,
        }


async def test_edge_counts_an_upstream_that_comes_back(
    autojump_clock: trio.testing.MockClock,
) -> None:
    async with open_bench() as upstream, open_edge_bench(Wire(upstream)) as edge:
        viewer = await edge.viewer()
        before = page_of(edge.gateway)
        await edge.wire.cut()
        assert (await viewer.hear())["type"] == "gateway_reconnecting"
        away = page_of(edge.gateway)
        assert (pick(away, "upstream_feeds"), pick(away, "upstream_feeds_away")) == (1, 1)
        edge.wire.mend()
        await trio.sleep(DELAY_S)  # until the first attempt
        await trio.testing.wait_all_tasks_blocked()
        after = page_of(edge.gateway)
        assert (pick(after, "upstream_feeds"), pick(after, "upstream_feeds_away")) == (1, 0)
        assert changes(before, after) == {
            "upstream_connections_total outcome=accepted": 1,
            "upstream_losses_total code=1006": 1,
            "upstream_reconnect_attempts_total": 1,
        }


async def test_edge_counts_an_upstream_that_it_gives_up(
    autojump_clock: trio.testing.MockClock,
) -> None:
    async with open_bench() as upstream, open_edge_bench(Wire(upstream)) as edge:
        viewer = await edge.viewer()
        before = page_of(edge.gateway)
        await edge.wire.cut()
        assert await viewer.hear_the_end() == CloseCode.INTERNAL_ERROR
        await trio.testing.wait_all_tasks_blocked()
        after = page_of(edge.gateway)
        assert (pick(after, "upstream_feeds"), pick(after, "upstream_feeds_away")) == (0, 0)
        assert changes(before, after) == {
            "closes_total code=1011 role=viewer": 1,
            "upstream_connections_total outcome=unreachable": MAX_ATTEMPTS,
            "upstream_losses_total code=1006": 1,
            "upstream_reconnect_attempts_total": MAX_ATTEMPTS,
            "upstream_given_up_total": 1,
        }
        assert json.loads(edge.gateway.health().body)["viewers"] == 0


async def test_edge_counts_a_viewer_whose_key_nobody_could_check(
    autojump_clock: trio.testing.MockClock,
) -> None:
    async with open_bench() as upstream, open_edge_bench(Wire(upstream)) as edge:
        before = page_of(edge.gateway)
        await edge.wire.cut()
        viewer = await edge.knock_as_viewer(edge.keys.api_key)
        assert await viewer.hear_the_end() == CloseCode.INTERNAL_ERROR
        await trio.testing.wait_all_tasks_blocked()
        assert changes(before, page_of(edge.gateway)) == {
            "closes_total code=1011 role=viewer": 1,
            "key_check_failures_total": 1,
            "upstream_connections_total outcome=unreachable": 1,
        }


# ── the format ───────────────────────────────────────────────────────────────────────────────


@given(
    st.dictionaries(
        st.text(st.characters(codec="utf-8", exclude_characters="\r")), st.integers(0, 2**53)
    )
)
def test_label_of_any_text_reads_back(counts: Mapping[str, int]) -> None:
    family = counter_by("things", 'Of \\ any " kind\nat all.', "kind", counts)
    families = list(text_string_to_metric_families(str(metrics_response([family]).body)))
    assert {
        sample.labels["kind"]: int(sample.value) for family in families for sample in family.samples
    } == counts
    assert [family.documentation for family in families] == ['Of \\ any " kind\nat all.']


@given(st.lists(st.floats(0, 20)))
def test_histogram_counts_everything_once_and_its_buckets_add_up(values: list[float]) -> None:
    histogram = Histogram((0.1, 1.0, 10.0))
    for value in values:
        histogram.observe(value)
    read = samples(str(metrics_response([histogram.collect("delay", "How long.")]).body))

    def below() -> Iterator[tuple[str, int]]:
        for bound in histogram.bounds:
            yield str(bound), sum(value <= bound for value in values)
        yield "+Inf", len(values)

    for bound, count in below():
        assert pick(read, "delay_bucket", le=bound) == count
    assert pick(read, "delay_count") == len(values)
    assert pick(read, "delay_sum") == pytest.approx(sum(values))
