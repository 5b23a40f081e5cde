"""Write the generated blocks of the specification anew: `python spec/tools/generate.py [--check]`.

A block stands between `<!-- generated: NAME -->` and `<!-- end -->`.  With `--check` nothing is written; the exit code is
1 when a block is not what it would be.
"""

import re
import sys
from pathlib import Path
from typing import Final

from tables import blocks

TEXT: Final = Path(__file__).parent.with_name("video-stream.md")

_BLOCK: Final = re.compile(
    r"(<!-- generated: (?P<name>[^>]+?) -->\n)(?P<body>.*?)(<!-- end -->)", re.DOTALL
)


def generated(text: str) -> str:
    """Return *text* with every generated block made anew.

    Raises:
        ValueError: a block's name is unknown, or a block that must be there is not.
    """
    made = blocks()
    seen: list[str] = []

    def fresh(block: re.Match[str]) -> str:
        name = block["name"]
        if name not in made:
            raise ValueError(f"nothing makes the block {name!r}; there are {', '.join(made)}")
        seen.append(name)
        return f"{block[1]}\n{made[name]()}\n\n{block[4]}"

    text = _BLOCK.sub(fresh, text)
    if missing := sorted(set(made) - set(seen)):
        raise ValueError(f"the text lacks the blocks {', '.join(missing)}")
    return text


def main(arguments: list[str]) -> int:
    """Do it, and return the exit code."""
    before = TEXT.read_text("utf-8")
    after = generated(before)
    if before == after:
        return 0
    if "--check" in arguments:
        print(f"{TEXT.name} is not what its tables say; run `make spec`", file=sys.stderr)
        return 1
    TEXT.write_text(after, "utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
