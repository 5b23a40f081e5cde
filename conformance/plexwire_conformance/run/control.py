"""The control: before anything is judged, an ordinary conversation that must be possible at all."""

from collections.abc import Iterable
from http import HTTPStatus
from typing import NoReturn
from urllib.parse import urljoin

from plexwire_conformance.recording.recorder import Kind, Way
from plexwire_conformance.recording.transcript import Transcript
from plexwire_conformance.run.case import Case
from plexwire_conformance.run.stage import Stage
from plexwire_conformance.run.trial import Trial
from plexwire_conformance.target.target import base_url
from plexwire_conformance.wire.peer import ClosingKind, HandshakeFailed, NoConnection
from plexwire_conformance.wire.roles import RawViewer

_ROUNDS = 3
#: Seconds in which a gateway may show that it speaks TLS.
_PROBE_S = 2.0
_WANTS_CREDENTIALS = (401, 403, 407)
_NOT_ACCEPTED = {4001: "does not accept", 4002: "grants no API access to"}


class CouldNotJudge(Exception):
    """There is nothing to judge: the text says why and what to do."""


async def _control(stage: Stage, trial: Trial) -> None:
    """A viewer connects, authenticates, and is not turned away."""
    for _ in range(_ROUNDS):
        try:
            viewer = await stage.connect_viewer()
        except NoConnection as error:
            url = stage.target.viewers.url
            remedy = error.remedy or "Is the gateway up?"
            raise CouldNotJudge(f"{url}: {error.problem}. {remedy}") from None
        except HandshakeFailed as error:
            if error.status in (None, 400) and await stage.target.viewers.speaks_tls(_PROBE_S):
                secure = stage.target.viewers.url.replace("ws://", "wss://", 1)
                raise CouldNotJudge(
                    f"{stage.target.viewers.url}: that port speaks TLS. Give {secure} instead."
                ) from None
            viewer = await _without_timeout(stage, trial, error)
        await stage.authenticate(viewer)
        ending = viewer.peer.ending
        if ending is None:
            continue
        if ending.kind is ClosingKind.GARBAGE:
            trial.inconclusive(f"the viewer got {ending}", "PW-CONN-6")
        if ending.code in _NOT_ACCEPTED:
            raise CouldNotJudge(
                f"the gateway {_NOT_ACCEPTED[ending.code]} the key in PLEXWIRE_API_KEY (close "
                f"{ending.code}); give a key that may watch"
            )
        if (watched := stage.target.watched) is not None:
            # A source that nobody has seen may be refused, and so may a key whose business it is not.  [PW-ADDR-12]
            raise CouldNotJudge(
                f"the gateway lets nobody watch {watched} ({ending}). Does the camera run, and is it called so?"
            )
        trial.find_and_stop(
            "PW-AUTH-2/valid-auth-refused",
            {"stimulus": "a valid auth", "within": stage.tolerances.immediate},
            {"ending": viewer.peer.outcome()},
        )


async def _without_timeout(stage: Stage, trial: Trial, refused: HandshakeFailed) -> RawViewer:
    """Return a viewer that asks for no timeout, where one that did was *refused*: then that was the reason."""
    if (refused.status or 0) < HTTPStatus.BAD_REQUEST or refused.status in _WANTS_CREDENTIALS:
        _judge_handshake(stage, trial, refused)
    try:
        viewer = await stage.connect_viewer(timeout=None)
    except HandshakeFailed:
        _judge_handshake(stage, trial, refused)
    stage.network.refused_timeout = stage.timeout
    seconds = {"seconds": stage.timeout}
    trial.find("PW-TIME-1/timeout-refused", seconds, {"refusal": refused.refusal})
    return viewer


def _judge_handshake(stage: Stage, trial: Trial, error: HandshakeFailed) -> NoReturn:
    url = stage.target.viewers.url
    if error.response is not None and error.response.status in _WANTS_CREDENTIALS:
        trial.find_and_stop("PW-ADDR-5/credential-demanded", {}, {"refusal": error.refusal})
    if error.response is not None and error.response.leads_to:
        there = base_url(urljoin(url.replace("ws", "http", 1), error.response.leads_to))
        raise CouldNotJudge(
            f"{url} answers the handshake by {error.problem[:200]}, and clients of the protocol follow none. "
            f"Give the base URL to which it leads, such as {there}"
        )
    if error.response is not None and error.response.status != 101:
        if (watched := stage.target.watched) is not None:
            raise CouldNotJudge(
                f"{url} answers a viewer of {watched} by {error.problem[:120]}. Does the camera run, is it "
                "called so, and is this the base URL of the gateway, in front of /v1/sources/…?"
            )
        raise CouldNotJudge(
            f"{url} answers the handshake with {error.in_short}; give the base URL of the "
            "gateway, which is what comes before /v1/sources/…"
        )
    if error.response is None and url.startswith("wss:"):
        # With TLS 1.3 a gateway hangs up only now on who shows no certificate.
        raise CouldNotJudge(
            f"{url}: {error.problem}. Does it ask for a client certificate? Then give --client-cert"
        )
    unanswered = error.response is None
    check = "PW-ADDR-1/handshake-unanswered" if unanswered else "PW-CONN-6/bad-handshake-answer"
    trial.find_and_stop(check, {}, {"refusal": error.refusal})


def served(transcripts: Iterable[Transcript]) -> bool:
    """Whether every viewer of the control that got in got an `init` that could be read.

    What else the control found keeps nobody from judging.
    """
    viewers = [
        each
        for transcript in transcripts
        for each in transcript.conversations
        if any(entry.kind is not Kind.HANDSHAKE for entry in each.entries)
    ]
    return bool(viewers) and all(
        any(entry.way is Way.RECEIVED and entry.type == "init" for entry in viewer.entries)
        and not any(entry.kind is Kind.GARBAGE for entry in viewer.entries)
        for viewer in viewers
    )


CONTROL = Case(
    id="control",
    title="A viewer connects, authenticates, and is not turned away.",
    clauses=("PW-ADDR-1", "PW-ADDR-5", "PW-AUTH-2"),
    may_find=("PW-CONN-6", "PW-TIME-1"),
    needs=frozenset(),
    takes=0.0,
    connections=_ROUNDS,
    least=_ROUNDS,
    scripted=False,
    body=_control,
)
