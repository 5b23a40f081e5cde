"""The tables and diagrams of the specification, each made from the one place that knows: the clauses, the schemas, the core."""

import re
from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any, Final

from reactions import reactions

from plexwire_protocol import CloseCode, Refusal
from plexwire_protocol.limits import (
    DEFAULT_CAMERA,
    MAX_CAMERAS,
    MAX_ID_BYTES,
    MAX_JPEG_BYTES,
    MAX_MESSAGE_BYTES,
    MAX_NESTING,
    MAX_TIMEOUT_S,
    SOURCE_ID,
)
from plexwire_protocol.tables import (
    DEVICE_CONVERSATION,
    VIEWER_CONVERSATION,
    ConversationTable,
    Deadline,
    render_mermaid,
)
from plexwire_spec import AREAS, Clause, Level, Source, clauses, schemas, vectors


def table(heads: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    """Return a Markdown table."""
    lines = [heads, ["---"] * len(heads), *rows]
    return "\n".join("| " + " | ".join(line) + " |" for line in lines)


def _link(clause_id: str) -> str:
    return f"[{clause_id}]"


def _anchor(clause_id: str) -> str:
    return f'<a id="{clause_id}"></a>{clause_id}'


def _linked(text: str) -> str:
    """Make the clauses that *text* names links."""
    return re.sub(r"(?<!\[)PW-[A-Z]+-[0-9]+", r"[\g<0>]", text)


def _tags(clause: Clause) -> str:
    return " ".join(source.value for source in clause.sources)


# ── from the clauses ─────────────────────────────────────────────────────────────────────────


def clause_table(area: str) -> str:
    """Return the clauses of *area*."""
    return table(
        ("clause", "level", "binds", "what it says", "sources"),
        (
            (_anchor(c.id), c.level.value, c.role.value, _linked(c.text), _tags(c))
            for c in clauses().values()
            if c.area == area
        ),
    )


def decision_table() -> str:
    """Return every decision of ours, by area."""
    parts = []
    for area, title in AREAS.items():
        decided = [c for c in clauses().values() if c.area == area and c.is_decision]
        if decided:
            rows = (
                (_link(c.id), c.level.value, *map(_linked, (c.text, c.why, c.instead)))
                for c in decided
            )
            heads = ("clause", "level", "decided", "why", "what else is legitimate")
            parts.append(f"#### {title}\n\n{table(heads, rows)}")
    return "\n\n".join(parts)


def because_table() -> str:
    """Return how clauses follow from their sources where that is not plain."""
    rows = (
        (_link(c.id), _linked(c.why)) for c in clauses().values() if c.why and not c.is_decision
    )
    return table(("clause", "how it follows"), rows)


def count_table() -> str:
    """Return how many clauses there are, by level and source."""
    counted = Counter((c.level, source) for c in clauses().values() for source in c.sources)
    totals = Counter(c.level for c in clauses().values())
    rows = [
        (level.value, *(str(counted[level, source]) for source in Source), str(totals[level]))
        for level in Level
    ]
    heads = ("level", *(source.value for source in Source), "clauses")
    return f"{len(clauses())} clauses, {len(vectors())} test vectors.\n\n{table(heads, rows)}"


def links() -> str:
    """Return the link definitions, so that `[PW-AUTH-1]` in the text leads to its clause."""
    return "\n".join(f"[{clause_id}]: #{clause_id}" for clause_id in clauses())


# ── from the schemas ─────────────────────────────────────────────────────────────────────────


def member_table(name: str) -> str:
    """Return the members of the message whose schema is *name*."""
    schema = schemas()[name]
    rows = []
    for member, said in _members(schema):
        needed = "yes" if member.rpartition(".")[2] in said["required"] else "no"
        kind, bounds = _type(said), _range(said)
        rows.append(
            (f"`{member}`", kind, bounds, _unit(said), needed, _linked(said.get("description", "")))
        )
    return table(("member", "type", "range", "unit", "needed", "meaning"), rows)


def _members(schema: Mapping[str, Any], prefix: str = "") -> Iterable[tuple[str, dict[str, Any]]]:
    required = schema["required"]
    for member, said in schema["properties"].items():
        yield prefix + member, {**said, "required": required}
        items = said.get("items", {})
        if "properties" in items:
            yield from _members(items, f"{prefix}{member}[].")


def _type(said: Mapping[str, Any]) -> str:
    if "const" in said:
        return "string"
    match said.get("type", "any"):
        case "array" if "items" in said and "type" in said["items"]:
            return f"list of {_type(said['items'])}s".replace(" or nulls", "s or null")
        case "array":
            return "list"
        case list() as kinds:
            return " or ".join("whole number" if kind == "integer" else kind for kind in kinds)
        case "integer":
            return "whole number"
        case kind:
            return str(kind)


def _range(said: Mapping[str, Any]) -> str:
    if "const" in said:
        return f"`{said['const']}`"
    if "maximum" in said:
        return f"{_number(said['minimum'])} to {_number(said['maximum'])}"
    if "minimum" in said:
        return f"{said['minimum']} or more"
    if "contentEncoding" in said:
        return "a JPEG"
    if "pattern" in said:
        return "as in section 3.2"
    if "maxLength" in said:
        return f"at most {said['maxLength']} bytes"
    return ""


def _number(value: int) -> str:
    return {2**31 - 1: "2³¹−1", 2**32 - 1: "2³²−1", 2**63 - 1: "2⁶³−1", -(2**63): "−2⁶³"}.get(
        value, str(value)
    )


def _unit(said: Mapping[str, Any]) -> str:
    comment: str = said.get("$comment", "")
    return comment.removeprefix("unit: ")


# ── from the core ────────────────────────────────────────────────────────────────────────────

_CODES: Final[Mapping[CloseCode, tuple[str, str, str]]] = {
    CloseCode.NORMAL: (
        "either side",
        "It has seen enough, or sent everything; a device that got an `error` in the place of `authenticated`.",
        "PW-DEV-14",
    ),
    CloseCode.GOING_AWAY: (
        "either side",
        "The gateway shuts down; the page of a viewer is left.",
        "PW-CLOSE-3",
    ),
    CloseCode.PROTOCOL_ERROR: (
        "viewer, device",
        "The answer to its auth is missing after 10 seconds, or the gateway sent a message out of turn; the WebSocket itself is broken (either side).",
        "PW-VIEW-4",
    ),
    CloseCode.ABNORMAL: (
        "nobody",
        "Never on the wire: what a WebSocket library reports when the connection ended without a close frame.",
        "PW-ROB-3",
    ),
    CloseCode.INVALID_PAYLOAD: ("either side", "A text message was not UTF-8.", "PW-CONN-5"),
    CloseCode.TOO_BIG: ("either side", "A message was over the limit of who got it.", "PW-LIM-4"),
    CloseCode.INTERNAL_ERROR: (
        "gateway",
        "It failed: the key could not be checked, or a handler crashed.",
        "PW-CLOSE-2",
    ),
    CloseCode.TRY_AGAIN_LATER: (
        "gateway",
        "The key is good, and has too many streams open.",
        "PW-LIM-9",
    ),
    CloseCode.UNAUTHORIZED: (
        "gateway",
        "No auth within 10 seconds, a first message that is not a well-formed auth, or a bad key.",
        "PW-AUTH-3",
    ),
    CloseCode.NO_API_ACCESS: (
        "gateway",
        "The key is good, and its plan has no API access.",
        "PW-AUTH-9",
    ),
    CloseCode.TIMEOUT: ("gateway", "The `timeout` of the address has passed.", "PW-TIME-1"),
}


def close_table() -> str:
    """Return the close codes, who sends each, and when."""
    rows = (
        (
            str(code.value),
            code.name.lower().replace("_", " "),
            *_CODES[code][:2],
            "yes" if code not in (CloseCode.UNAUTHORIZED, CloseCode.NO_API_ACCESS) else "no",
            _link(_CODES[code][2]),
        )
        for code in CloseCode
    )
    heads = ("code", "name", "sent by", "when", "same key may reconnect", "clause")
    return table(heads, rows)


def limit_table() -> str:
    """Return the limits and what exactly each measures."""
    source_id = SOURCE_ID.pattern.replace("|", "\\|")
    rows = (
        (
            "a message of a viewer or a device",
            f"{MAX_MESSAGE_BYTES} bytes",
            "The payload of one whole WebSocket message: its frames joined, unmasked and unpacked, without their headers; of text, the bytes of UTF-8. The limit itself is allowed.",
            "of a device as [PW-LIM-1] and [PW-LIM-2] have it; of a viewer 4096 bytes",
            "[PW-LIM-3]",
        ),
        (
            "a JPEG that a device sends",
            f"{MAX_JPEG_BYTES} bytes",
            "The picture itself, before base64. A larger one is encoded again, smaller, by the device; the gateway does not look.",
            "",
            "[PW-LIM-5]",
        ),
        (
            "a message of a gateway",
            "none",
            "A viewer accepts up to 2097152 bytes, if not more.",
            "",
            "[PW-VIEW-6]",
        ),
        (
            "a source id",
            f"`{source_id}`",
            "After percent-decoding.",
            "",
            "[PW-ADDR-11]",
        ),
        (
            "a camera id",
            f"{MAX_ID_BYTES} bytes",
            "Bytes of UTF-8, not characters; after percent-decoding, JSON unescaping and the cut of [PW-BIN-6]. It may be empty.",
            "64 bytes",
            "[PW-LIM-6]",
        ),
        (
            "cameras of an address",
            f"1 to {MAX_CAMERAS}",
            f"Different ones, after percent-decoding; none named is the one `{DEFAULT_CAMERA}`.",
            "8",
            "[PW-LIM-6]",
        ),
        (
            "cameras of a device",
            f"{MAX_CAMERAS}",
            "Different camera ids on one connection, from its first frame until it ends. Frames of any further camera are dropped, and those of the first ones go on.",
            "16",
            "[PW-LIM-6]",
        ),
        (
            "`timeout`",
            f"1 to {MAX_TIMEOUT_S} seconds",
            "One to ten decimal digits; leading zeros count as digits.",
            "",
            "[PW-TIME-5]",
        ),
        (
            "nesting of JSON",
            f"{MAX_NESTING} levels",
            "Objects and lists within each other, the message itself being the first.",
            "16 levels",
            "[PW-LIM-7]",
        ),
        (
            "frames waiting for a viewer",
            "1 a camera",
            "Frames that no byte was written of; the one being written and what the network holds come on top.",
            "",
            "[PW-FLOW-5]",
        ),
    )
    return table(("what", "limit", "what it measures", "at least", "clause"), rows)


_SINCE: Final = {
    Deadline.AUTH: "the handshake was answered",
    Deadline.ANSWER: "the auth was sent",
    Deadline.TIMEOUT: "`init` was sent",
    Deadline.HEARTBEAT: "`authenticated` arrived, and each time it ran out",
}

_UNTIL: Final = {
    Deadline.AUTH: "a message has arrived",
    Deadline.ANSWER: "the answer has arrived",
    Deadline.TIMEOUT: "the stream ends",
    Deadline.HEARTBEAT: "the connection ends",
}


def timer_table() -> str:
    """Return the timers: whose, from when, until when, and what then."""
    rows = []
    for conversation in (VIEWER_CONVERSATION, DEVICE_CONVERSATION):
        for timer in conversation.timers:
            long = f"{timer.seconds:g} s" if timer.seconds else "`timeout` of the address, if any"
            then = f"close {timer.code.value}" if timer.code else "send `heartbeat`"
            rows.append(
                (
                    conversation.name,
                    timer.owner.value,
                    timer.deadline.value,
                    long,
                    _SINCE[timer.deadline],
                    _UNTIL[timer.deadline],
                    then,
                    _link(timer.clause),
                )
            )
    heads = (
        "conversation",
        "kept by",
        "timer",
        "long",
        "runs from when",
        "until",
        "then",
        "clause",
    )
    return table(heads, rows)


def diagram(conversation: ConversationTable) -> str:
    """Return the state diagram of *conversation* as a Mermaid block."""
    return f"```mermaid\n{render_mermaid(conversation)}```"


_REFUSALS: Final[Mapping[Refusal, str]] = {
    Refusal.TOO_LARGE: "The message is over the limit.",
    Refusal.NOT_JSON: "The text is not JSON, or nests too deep.",
    Refusal.NOT_AN_OBJECT: "It is JSON, and not an object.",
    Refusal.NO_TYPE: "`type` is missing or not a string.",
    Refusal.MISSING_MEMBER: "A member that is needed is not there.",
    Refusal.WRONG_TYPE: "A member is of another JSON type than it must be.",
    Refusal.OUT_OF_RANGE: "A number is outside its range.",
    Refusal.NOT_UNICODE: "A string has a lone surrogate, or bytes are not UTF-8.",
    Refusal.BAD_SOURCE_ID: "A source id does not follow the grammar.",
    Refusal.ID_TOO_LONG: "A camera id is too long.",
    Refusal.NOT_BASE64: "`frame` is not padded base64 in the standard alphabet.",
    Refusal.NOT_JPEG: "The picture does not begin with FF D8.",
    Refusal.BINARY: "A binary message from somebody who sends none.",
    Refusal.TRUNCATED: "A binary message ends inside its header.",
    Refusal.UNKNOWN_VERSION: "A binary message begins with another byte than 01.",
    Refusal.WRONG_PATH: "The path is not that of a video stream.",
    Refusal.BAD_ESCAPE: "A `%` without two hex digits.",
    Refusal.BAD_TIMEOUT: "`timeout` is not a whole number in its range.",
    Refusal.REPEATED_TIMEOUT: "`timeout` is given twice.",
    Refusal.TOO_MANY_CAMERAS: "More different cameras than an address may name.",
}


def refusal_table() -> str:
    """Return the reasons that the test vectors know."""
    used = Counter(str(v.outcome["refused"]) for v in vectors().values() if "refused" in v.outcome)
    rows = ((f"`{r.value}`", _REFUSALS[r], str(used[r.value])) for r in Refusal)
    return table(("reason", "what is wrong", "vectors"), rows)


def blocks() -> Mapping[str, Callable[[], str]]:
    """Return what makes each generated block, by its name."""
    made: dict[str, Callable[[], str]] = {
        "viewer states": lambda: diagram(VIEWER_CONVERSATION),
        "device states": lambda: diagram(DEVICE_CONVERSATION),
        "close codes": close_table,
        "limits": limit_table,
        "timers": timer_table,
        "reactions": lambda: table(*reactions()),
        "refusals": refusal_table,
        "decisions": decision_table,
        "because": because_table,
        "count": count_table,
        "links": links,
    }
    for area in AREAS:
        made[f"clauses {area}"] = lambda area=area: clause_table(area)  # type: ignore[misc]
    for name in schemas():
        made[f"members {name}"] = lambda name=name: member_table(name)  # type: ignore[misc]
    return made
