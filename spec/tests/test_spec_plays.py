"""What the vectors say of the wire, played against the core: every vector in every place, every set of distinct cameras."""

import json
from collections import Counter

import pytest
from attrs import evolve

from plexwire_protocol import (
    AddressRefused,
    Auth,
    AuthReceived,
    Close,
    CloseCode,
    DeviceAuth,
    EncodedFrame,
    GatewayDeviceSession,
    GatewayViewerSession,
    MalformedMessage,
    MessageReceived,
    Refusal,
    Relay,
    Role,
    StreamAddress,
    VideoFrame,
    decode,
    encode,
)
from plexwire_spec import (
    EXAMPLE_KEY,
    EXAMPLE_PICTURE,
    EXAMPLE_SOURCE,
    DistinctCameras,
    Kind,
    Level,
    Party,
    Place,
    Play,
    Reaction,
    Vector,
    clauses,
    distinct_cameras,
    plays,
    sending,
    vectors,
)

KEY = 'plx_"a\\key/of the judge'
SOURCE = "judge-7.robot"
PICTURE = b"\xff\xd8\xff\xfe\x00\x08judge?\xff\xd9"
PLAYS = {f"{v.id}@{play.place}": (v, play) for v in vectors().values() for play in plays(v)}


def _session(place: Place) -> GatewayViewerSession | GatewayDeviceSession:
    if place in (Place.DEVICE_FIRST, Place.DEVICE_LATER):
        device = GatewayDeviceSession(now=0.0)
        if place is Place.DEVICE_LATER:
            device.receive(encode(DeviceAuth(api_key=KEY, source_id=SOURCE)), now=0.0)
            device.grant(server_time_ms=0, now=0.0)
            device.take_outbox()
        return device
    viewer = GatewayViewerSession(StreamAddress(source_id=SOURCE), now=0.0)
    if place is Place.VIEWER_LATER:
        viewer.receive(encode(Auth(api_key=KEY)), now=0.0)
        viewer.grant((), now=0.0)
        viewer.take_outbox()
    return viewer


def _reaction(place: Place, data: str | bytes) -> Reaction:
    """What the core does with *data* in *place*."""
    if place is Place.HANDSHAKE:
        assert isinstance(data, str)
        try:
            StreamAddress.parse(data)
        except AddressRefused:
            return Reaction.HTTP_ERROR
        return Reaction.UPGRADED
    session = _session(place)
    events = session.receive(data, now=1.0)
    if _is_too_large(data):
        assert not any(isinstance(event, MessageReceived) for event in events)
        return Reaction.TOO_LARGE
    match events:
        case [AuthReceived(api_key=key)] if key != KEY:
            session.refuse(CloseCode.UNAUTHORIZED, now=1.0)
        case [AuthReceived()]:
            _grant(session)
        case [MessageReceived(message=VideoFrame())]:
            return Reaction.RELAYED
        case _:
            pass
    return _said(session)


def _grant(session: GatewayViewerSession | GatewayDeviceSession) -> None:
    if isinstance(session, GatewayDeviceSession):
        session.grant(server_time_ms=0, now=1.0)
    else:
        session.grant((), now=1.0)


def _said(session: GatewayViewerSession | GatewayDeviceSession) -> Reaction:
    match session.take_outbox():
        case []:
            return Reaction.NOTHING
        case [Close(code=CloseCode.UNAUTHORIZED)]:
            return Reaction.CLOSED_4001
        case [str(error), Close(code=CloseCode.UNAUTHORIZED)]:
            assert json.loads(error)["type"] == "error"
            return Reaction.ERROR_AND_CLOSE
        case [str(answer)]:
            return Reaction(json.loads(answer)["type"])
        case other:
            raise AssertionError(other)


def _is_too_large(data: str | bytes) -> bool:
    try:
        decode(data, sender=Role.DEVICE)
    except MalformedMessage as error:
        return error.refusal is Refusal.TOO_LARGE
    return False


@pytest.mark.parametrize(("vector", "play"), PLAYS.values(), ids=PLAYS)
def test_core_given_a_vector_in_a_place_reacts_as_it_says(vector: Vector, play: Play) -> None:
    sent = sending(vector, api_key=KEY, source_id=SOURCE, picture=PICTURE)
    assert _reaction(play.place, sent.data) is play.reaction


def test_vectors_are_played_in_every_place_and_to_every_reaction() -> None:
    assert {play.place for _, play in PLAYS.values()} == set(Place)
    assert {play.reaction for _, play in PLAYS.values()} == set(Reaction)


def test_only_what_no_peer_can_send_a_gateway_is_not_played() -> None:
    for vector in vectors().values():
        of_gateway = vector.sender is Party.GATEWAY
        no_target = vector.kind is Kind.ADDRESS and vector.input in ("", "/ws/device")
        assert bool(plays(vector)) is not (of_gateway or no_target), vector.id


def test_play_rests_on_clauses_that_bind_a_gateway() -> None:
    for vector, play in PLAYS.values():
        named = {play.clause, play.unaltered} - {""}
        assert all(clauses()[name].role is Party.GATEWAY for name in named), (vector.id, play)


@pytest.mark.parametrize("vector", vectors().values(), ids=vectors())
def test_vector_sent_with_the_examples_is_its_input(vector: Vector) -> None:
    sent = sending(vector, api_key=EXAMPLE_KEY, source_id=EXAMPLE_SOURCE, picture=EXAMPLE_PICTURE)
    if (
        len(vector.input) < 100_000
    ):  # large pictures are filled up with zeros, whatever they begin with
        assert sent.data == vector.data
    assert type(sent.data) is type(vector.data)


def test_accepted_address_is_sent_with_the_source_of_the_judge() -> None:
    for vector in vectors().values():
        match vector.kind, vector.outcome:
            case Kind.ADDRESS, {"accepted": {"source_id": "robot-01", "cameras": cameras}}:
                sent = sending(vector, api_key=KEY, source_id=SOURCE, picture=PICTURE)
                assert isinstance(sent.data, str)
                address = StreamAddress.parse(sent.data)
                assert address.source_id == SOURCE
                assert list(address.cameras) == cameras
            case _:
                pass


def test_vector_at_a_limit_keeps_its_size_with_another_key_and_picture() -> None:
    at_a_limit = ("-as-large-as-allowed", "-one-byte-too-large", "-of-4096-bytes", "-750000-bytes")
    found = [vector for vector in vectors().values() if vector.id.endswith(at_a_limit)]
    assert len(found) == 8
    for vector in found:
        sent = sending(vector, api_key="plx_" + 200 * "k", source_id="s", picture=PICTURE)
        assert len(sent.data) == len(vector.data), vector.id


def test_relayed_frame_is_what_the_core_reads_under_the_source_of_the_device() -> None:
    recognised = 0
    for vector, play in PLAYS.values():
        sent = sending(vector, api_key=KEY, source_id=SOURCE, picture=PICTURE)
        match vector.outcome:
            case {"accepted": {"type": "video_frame"}}:
                assert sent.relayed
            case _:
                assert not sent.relayed
        if play.reaction is not Reaction.RELAYED:
            continue
        frame = decode(sent.data, sender=Role.DEVICE)
        assert isinstance(frame, VideoFrame)
        told = json.loads(encode(evolve(frame, source_id=SOURCE)))
        assert {name: told[name] for name in sent.relayed} == sent.relayed, vector.id
        if sent.picture is not None:
            assert frame.jpeg == sent.picture
            assert frame.jpeg.startswith(PICTURE)
            recognised += 1
    assert recognised > 100


# ── distinct cameras ─────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize("one", distinct_cameras().values(), ids=distinct_cameras())
def test_relay_keeps_distinct_cameras_apart(one: DistinctCameras) -> None:
    relay = Relay()
    sources = {source_id for source_id, _ in one.cameras}
    publishers = {source_id: relay.join("a", source_id) for source_id in sources}
    viewers = {}
    for source_id, camera_id in one.cameras:
        asked = StreamAddress(source_id=source_id, cameras=(camera_id,)).target()
        address = StreamAddress.parse(asked)
        viewers[source_id, camera_id] = relay.subscribe("a", address.source_id, address.cameras)
    for number, (source_id, camera_id) in enumerate(one.cameras):
        text = encode(
            VideoFrame(
                source_id=source_id,
                camera_id=camera_id,
                jpeg=b"\xff\xd8",
                width=0,
                height=0,
                timestamp=number,
            )
        )
        frame = decode(text, sender=Role.DEVICE)
        assert isinstance(frame, VideoFrame)
        relay.publish(publishers[source_id], frame)
        for ids, viewer in viewers.items():
            got = relay.next_for(viewer)
            assert (got is not None) is (ids == (source_id, camera_id))
            if got is not None:
                assert isinstance(got, EncodedFrame)
                read = decode(got.text, sender=Role.GATEWAY)
                assert isinstance(read, VideoFrame)
                assert (read.source_id, read.camera_id, read.timestamp) == (*ids, number)


def test_distinct_cameras_can_be_played_within_the_least_limits() -> None:
    for one in distinct_cameras().values():
        assert len(set(one.cameras)) == len(one.cameras) >= 2
        assert max(Counter(source for source, _ in one.cameras).values()) <= 16
        assert all(len(camera.encode()) <= 64 for _, camera in one.cameras)
        assert all(source.startswith(EXAMPLE_SOURCE) for source, _ in one.cameras)
        assert clauses()[one.clause].level is Level.MUST


def test_distinct_cameras_have_ids_of_their_own() -> None:
    assert not set(distinct_cameras()) & set(vectors())
    assert len(distinct_cameras()) >= 40
