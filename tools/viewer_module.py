"""Write the generated parts of the viewer module: `python tools/viewer_module.py [--check]`.

`viewer.js` takes sentences and limits from the core, `viewer.d.ts` its messages from the JSON Schemas, and `package.json` its
version from the core.  With `--check` nothing is written; the exit code is 1 if a file is not up to date.
"""

import json
import re
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final

from plexwire_protocol import Close, CloseCode, __version__, describe_close
from plexwire_protocol.limits import (
    ANSWER_DEADLINE_S,
    DEFAULT_CAMERA,
    MAX_CAMERAS,
    MAX_ID_BYTES,
    MAX_TIMEOUT_S,
    SOURCE_ID,
)
from plexwire_spec import schemas

FOLDER: Final = Path(__file__).parents[1] / "server/plexwire_server/page"

_BLOCK: Final = re.compile(r"(// generated: [^\n]*\n).*?(// end\n)", re.DOTALL)
#: Stands for all codes that have no sentence of their own.
_NO_CODE: Final = 4999
#: What the names of the schemas begin with that a gateway sends to a viewer.
_DIRECTION: Final = "gateway-to-viewer."
_TYPES: Final = {"string": "string", "integer": "number", "number": "number", "null": "null"}


def constants() -> str:
    """Return the JavaScript of the core's sentences and limits."""
    limits = {
        "answer_s": ANSWER_DEADLINE_S,
        "source_id": SOURCE_ID.pattern,
        "id_bytes": MAX_ID_BYTES,
        "cameras": MAX_CAMERAS,
        "timeout_s": MAX_TIMEOUT_S,
        "default_camera": DEFAULT_CAMERA,
    }
    sentences = {str(int(code)): describe_close(code) for code in CloseCode}
    final = [int(code) for code in CloseCode if not Close(code).may_retry]
    other = describe_close(_NO_CODE).replace(str(_NO_CODE), "{code}")
    return (
        f"export const CLOSES = {json.dumps(sentences, indent=2)};\n"
        f"const OTHER = {json.dumps(other)};\n"
        f"const FINAL = {json.dumps(final)};\n"
        f"export const LIMITS = {json.dumps(limits, indent=2)};\n"
    )


def declarations() -> str:
    """Return the TypeScript of all messages that a gateway sends to a viewer."""
    found = {
        name.removeprefix(_DIRECTION).title().replace("_", ""): schema
        for name, schema in schemas().items()
        if name.startswith(_DIRECTION)
    }
    parts = [_interface(name, schema) for name, schema in found.items()]
    union = " | ".join(found)
    parts.append(
        f"/** Every message of a gateway; `type` tells which it is. */\nexport type Message = {union};\n"
    )
    return "\n".join(parts)


def _interface(name: str, schema: Mapping[str, Any]) -> str:
    words = f"{schema['title']}.  {schema['description']}"
    return f"/** {words} */\nexport interface {name} {_object(schema, '')}\n"


def _object(schema: Mapping[str, Any], indent: str) -> str:
    inner = indent + "  "
    lines = []
    for member, its in schema["properties"].items():
        unit = its.get("$comment", "").removeprefix("unit: ")
        words = its.get("description", "") + (f"  Unit: {unit}." if unit else "")
        lines += [f"{inner}/** {words} */"] if words else []
        optional = "" if member in schema["required"] else "?"
        lines.append(f"{inner}{member}{optional}: {_type(its, inner)};")
    return "\n".join(["{", *lines, f"{indent}}}"])


def _type(schema: Mapping[str, Any], indent: str) -> str:
    match schema:
        case {"const": value}:
            return json.dumps(value)
        case {"type": "array", "items": items}:
            return f"Array<{_type(items, indent)}>"
        case {"type": "object"}:
            return _object(schema, indent)
        case {"type": str(kind)}:
            return _TYPES[kind]
        case {"type": [*kinds]}:
            return " | ".join(_TYPES[kind] for kind in kinds)
        case _:
            raise ValueError(f"no type of TypeScript for {schema}")


def _fill(text: str, body: str) -> str:
    filled, count = _BLOCK.subn(lambda block: f"{block[1]}{body}{block[2]}", text)
    if count != 1:
        raise ValueError(f"{count} generated blocks instead of one")
    return filled


def generated() -> dict[str, str]:
    """Return the text of each file as it should be."""
    before = {
        name: (FOLDER / name).read_text("utf-8")
        for name in ("viewer.js", "viewer.d.ts", "package.json")
    }
    package = json.loads(before["package.json"]) | {"version": __version__}
    return {
        "viewer.js": _fill(before["viewer.js"], constants()),
        "viewer.d.ts": _fill(before["viewer.d.ts"], declarations()),
        "package.json": json.dumps(package, indent=2) + "\n",
    }


def main(arguments: list[str]) -> int:
    """Do it, and return the exit code."""
    stale = {
        name: text
        for name, text in generated().items()
        if (FOLDER / name).read_text("utf-8") != text
    }
    if "--check" in arguments:
        for name in stale:
            print(f"{name} is not up to date: run `make spec`", file=sys.stderr)
        return bool(stale)
    for name, text in stale.items():
        (FOLDER / name).write_text(text, "utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
