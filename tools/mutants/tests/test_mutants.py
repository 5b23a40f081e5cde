"""The mutants themselves: each is one change that compiles, and the list of survivors is compared honestly."""

import ast
from pathlib import Path
from textwrap import dedent

import pytest

from mutant_operators import Names
from mutant_sites import Mutant, Source, changed, mutants_of, names_of, sources
from mutant_survivors import Problem, Reason, killed, read_survivors, stale, unlisted
from mutant_table import Outcome, classify, summarise
from mutants import SURVIVORS

TEXT = dedent("""
    _A, _B = Side
    LIMIT = 10

    class Door:
        '''A door.'''

        def open(self, keys: list[str], timeout: float = 2.5) -> str | None:
            if not keys or len(keys) > LIMIT:
                return None
            for key in keys:
                match key.strip():
                    case "master" if self.trusts(Side.LEFT):
                        return keys[0]
                    case _:
                        self.count += 1
            self.state = Side.RIGHT
            return self.names.get(key, "x") if timeout >= 1 else min(keys, default="none")
""")
SOURCE = Source("rooms.door", Path("door.py"), TEXT)
NAMES = names_of([SOURCE])
MUTANTS = list(mutants_of(SOURCE, NAMES))


def key(mutant: Mutant) -> tuple[str, str, str, int]:
    return mutant.function, mutant.operator, mutant.statement, mutant.which


def test_names_that_may_be_confused_are_read_from_the_source() -> None:
    assert Names({"Side": ("LEFT", "RIGHT")}, (("_A", "_B"),)) == NAMES


def test_each_mutant_compiles_and_differs_from_the_source() -> None:
    before = ast.dump(ast.parse(TEXT))
    assert len(MUTANTS) > 40
    for mutant in MUTANTS:
        tree = changed(SOURCE, mutant, NAMES)
        compile(tree, "door.py", "exec")
        assert ast.dump(tree) != before, mutant


def test_each_mutant_has_a_key_and_an_id_of_its_own() -> None:
    assert len({key(mutant) for mutant in MUTANTS}) == len(MUTANTS)
    assert len({mutant.id for mutant in MUTANTS}) == len(MUTANTS)


def test_key_of_a_mutant_stays_when_other_lines_move() -> None:
    moved = Source(SOURCE.module, SOURCE.path, "\n\nimport this\n" + TEXT)
    assert [key(m) for m in mutants_of(moved, NAMES)] == [key(m) for m in MUTANTS]


@pytest.mark.parametrize(
    ("operator", "line"),
    [
        ("cmp-edge", "if not keys or len(keys) >= LIMIT:"),
        ("not-drop", "if keys or len(keys) > LIMIT:"),
        ("and-or", "if not keys and len(keys) > LIMIT:"),
        ("method-drop", "match key:"),
        ("guard-drop", "case 'master' if True:"),
        ("member", "self.state = Side.LEFT"),
        ("num*2", "LIMIT = 20"),
        ("get-default", "return 'x' if timeout >= 1 else min(keys, default='none')"),
        (
            "function",
            "return self.names.get(key, 'x') if timeout >= 1 else max(keys, default='none')",
        ),
        ("first-last", "return keys[-1]"),
    ],
)
def test_operator_makes_the_fault_that_its_name_says(operator: str, line: str) -> None:
    made = [ast.unparse(changed(SOURCE, m, NAMES)) for m in MUTANTS if m.operator == operator]
    assert any(line in text for text in made)


def test_rooms_have_mutants_that_compile() -> None:
    found = sources()
    names = names_of(found.values())
    assert {module.partition(".")[0] for module in found} == {
        "plexwire_protocol",
        "plexwire_trio",
        "plexwire_server",
    }
    for source in found.values():
        for mutant in list(mutants_of(source, names))[::37]:
            compile(changed(source, mutant, names), str(source.path), "exec")


# ── the list of survivors ────────────────────────────────────────────────────────────────────


def listed(tmp_path: Path, **entry: object) -> Path:
    path = tmp_path / "survivors.toml"
    lines = ["[[survivor]]", *(f"{name} = {value!r}" for name, value in entry.items())]
    path.write_text("\n".join(lines), "utf-8")
    return path


def test_entry_covers_its_mutant_and_no_other(tmp_path: Path) -> None:
    mutant = next(m for m in MUTANTS if m.operator == "num*2")
    path = listed(
        tmp_path,
        module="rooms.door",
        function="",
        mutants=["num*2#1 | LIMIT = 10"],
        reason="tolerance",
        why="x",
    )
    entries = read_survivors(path)
    assert [m for m in MUTANTS if entries[0].covers(m)] == [mutant]
    assert not list(unlisted(entries, [mutant]))
    assert not list(stale(entries, MUTANTS))
    assert [problem.what for problem in killed(entries, [mutant])] == ["killed"]
    others = [m for m in MUTANTS if m is not mutant]
    assert {problem.what for problem in unlisted(entries, others)} == {"unlisted"}
    assert list(stale(entries, others)) == [
        Problem("stale", f"{entries[0].name} | {entries[0].mutants[0]}")
    ]


@pytest.mark.parametrize(
    ("changes", "complaint"),
    [
        ({"reason": "luck"}, "reason"),
        ({"why": ""}, "give the reason in one sentence"),
        ({"reason": "equivalent"}, "equivalent needs its mutants"),
        ({"sentence": "x"}, "sentence"),
    ],
)
def test_list_refuses_an_entry_that_says_too_little(
    tmp_path: Path, changes: dict[str, str], complaint: str
) -> None:
    entry = {"module": "rooms.door", "reason": "todo", "why": "x"} | changes
    with pytest.raises(ValueError, match=complaint):
        read_survivors(listed(tmp_path, **entry))


def test_list_of_the_repository_has_no_stale_entry() -> None:
    found = sources()
    names = names_of(found.values())
    mutants = [mutant for source in found.values() for mutant in mutants_of(source, names)]
    assert not list(stale(read_survivors(SURVIVORS), mutants))


# ── what came of them ────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize(
    ("said", "outcome"),
    [
        ({"breaches": [["PW-INIT-1", "init.at-once"]], "other": []}, Outcome.KILLED),
        ({"breaches": [], "other": ["chose: a"]}, Outcome.SURVIVED),
        ({"breaches": [], "other": ["chose: a", "chose: b"]}, Outcome.REPORTED),
        ({"stopped": "hung"}, Outcome.REPORTED),
        ({"stillborn": "NameError"}, Outcome.STILLBORN),
    ],
)
def test_mutant_is_killed_only_by_an_accusation(said: dict[str, object], outcome: Outcome) -> None:
    assert classify(MUTANTS[0], said, frozenset({"chose: a"})).outcome is outcome


def test_summary_counts_what_was_killed_by_clause_and_the_reasons_of_the_rest(
    tmp_path: Path,
) -> None:
    entries = read_survivors(listed(tmp_path, module="rooms.*", reason="todo", why="x"))
    rows = [
        classify(MUTANTS[0], {"breaches": [["PW-INIT-1", "a"], ["PW-INIT-1", "b"]]}, frozenset()),
        classify(MUTANTS[1], {"breaches": [], "other": []}, frozenset()),
    ]
    made = summarise(rows, entries, MUTANTS[2:5])
    assert made["killed_by_clause"] == {"PW-INIT-1": 1}
    assert made["by_module"] == {"rooms.door": {"killed": 1, str(Reason.TODO): 1, "not run": 3}}
    assert (made["judged"], made["not_run"]) == (2, 3)
