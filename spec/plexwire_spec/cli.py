"""`plexwire spec`: list the clauses, show one, export the specification, show what the suite covers.

It needs click, which comes with every extra.
"""

import re
import shutil
from collections.abc import Callable, Mapping, Sequence
from difflib import get_close_matches
from importlib import import_module
from typing import TextIO, TypeVar

import click

from plexwire_spec._clauses import AREAS, Clause, Level, Party, clauses
from plexwire_spec._listing import list_checks, list_clauses, list_coverage, show_clause
from plexwire_spec._selection import clauses_named
from plexwire_spec._text import specification_text

_T = TypeVar("_T")


class CannotDo(click.ClickException):
    """Something that the command needs is not there."""

    exit_code = 2


def _chosen(names: type[Level] | type[Party]) -> click.Choice[str]:
    return click.Choice([name.value for name in names], case_sensitive=False)


@click.command("spec")
@click.argument("words", metavar="[CLAUSE]...", nargs=-1)
@click.option("--level", multiple=True, type=_chosen(Level), help="Only clauses of this level.")
@click.option(
    "--role", multiple=True, type=_chosen(Party), help="Only clauses that bind this party."
)
@click.option(
    "--area",
    multiple=True,
    type=click.Choice(list(AREAS), case_sensitive=False),
    help="Only clauses of this area.",
)
@click.option("--untested", is_flag=True, help="Only clauses that no case judges.")
@click.option("--coverage", is_flag=True, help="Show which cases judge each clause.")
@click.option("--checks", is_flag=True, help="Show the checks of each clause with their sentences.")
@click.option(
    "--html",
    type=click.File("w", encoding="utf-8", lazy=False),
    metavar="FILE",
    help="Write the whole specification as one HTML page; - is the standard output.",
)
def spec(
    words: Sequence[str],
    level: Sequence[str],
    role: Sequence[str],
    area: Sequence[str],
    untested: bool,
    coverage: bool,
    checks: bool,
    html: TextIO | None,
) -> None:
    """List the clauses of the specification, or show one CLAUSE with its sources and cases.

    One CLAUSE may name several, in any spelling: an area (auth), a pattern (PW-FRAME-*), or a case of the suite
    (auth.never), as in plexwire conform --only.

    A check is one way to break a clause, or a choice that an OPEN clause leaves to the gateway.  Its id never changes:
    known failures, `plexwire diff` and pytest match by it.
    """
    if sum((bool(words), untested, coverage, checks, html is not None)) > 1:
        raise click.UsageError(
            "Give a clause, --untested, --coverage, --checks or --html, not several."
        )
    width = min(shutil.get_terminal_size().columns, 120)
    if html is not None:
        html.write(_page())
        return
    if words:
        named = list(dict.fromkeys(clause for word in words for clause in _find(word)))
        if len(named) == 1:
            click.echo(show_clause(named[0], _judged_by(named[0]), width))
        else:
            click.echo(list_clauses(named, width))
        return
    found = [c for c in clauses().values() if _wanted(c, level, role, area)]
    if checks:
        click.echo(list_checks(found, _checks(), width) or "No clause like that has a check.")
        return
    if coverage:
        text, bare = list_coverage(found, _cases_by_clause(), width)
        click.echo(text)
        if bare:
            click.echo(f"Neither a case nor a reason: {', '.join(bare)}.", err=True)
            raise SystemExit(1)
        return
    if untested:
        cases = _cases_by_clause()
        found = [c for c in found if c.id not in cases]
    click.echo(list_clauses(found, width) if found else "No clause is like that.")


def _wanted(
    clause: Clause, levels: Sequence[str], roles: Sequence[str], areas: Sequence[str]
) -> bool:
    return (
        (not levels or clause.level.value in levels)
        and (not roles or clause.role.value in roles)
        and (not areas or clause.area in areas)
    )


def _find(word: str) -> Sequence[Clause]:
    known = clauses()
    found = clauses_named(word) or _cited_by_cases(word)
    if not found:
        near = get_close_matches(word.strip("[]").upper(), known, n=3, cutoff=0.75)
        hint = f"did you mean {' or '.join(near)}? " if near else ""
        raise CannotDo(
            f"There is no clause {word}; {hint}The areas are {', '.join(AREAS)}; `plexwire spec` lists all clauses."
        )
    return [known[name] for name in found]


def _cited_by_cases(word: str) -> Sequence[str]:
    """Return the clauses of the suite's cases that *word* names; none if the suite is not installed."""
    try:
        suite = import_module("plexwire_conformance.cases.selection")
    except ModuleNotFoundError:
        return []
    cited: Sequence[str] = suite.cited_by(word)
    return cited


def _needing(extra: str, what: str, action: Callable[[], _T]) -> _T:
    try:
        return action()
    except ModuleNotFoundError as error:
        raise CannotDo(f"{what} needs {error.name}: pip install 'plexwire[{extra}]'") from None


def _page() -> str:
    render = _needing("tools", "The HTML page", lambda: import_module("plexwire_spec._page"))
    page: str = render.render_page(specification_text())
    return page


def _cases_by_clause() -> Mapping[str, Sequence[str]]:
    """Return the ids of the suite's cases by the clause that they judge."""
    # The suite stands above the specification, so it is asked for by name, and only here.
    cases = _needing(
        "conformance",
        "The list of cases",
        lambda: import_module("plexwire_conformance.cases.programs"),
    )
    judging: dict[str, list[str]] = {}
    for case in cases.EVERY_CASE.values():
        for clause_id in case.clauses:
            judging.setdefault(clause_id, []).append(case.id)
    return judging


def _checks() -> Mapping[str, Sequence[str]]:
    """Return the sentences of the suite's checks by their ids, with the names of their values in angle brackets."""
    module = _needing(
        "conformance",
        "The list of checks",
        lambda: import_module("plexwire_conformance.run.checks"),
    )
    return {
        check.id: [
            re.sub(r"\{(\w+)(:\w+)?\}", r"<\1>", sentence)
            for sentence in (check.expected, check.observed)
            if sentence
        ]
        for check in module.checks().values()
    }


def _judged_by(clause: Clause) -> str:
    try:
        cases = _cases_by_clause().get(clause.id)
    except CannotDo as error:
        return error.message
    if cases:
        return ", ".join(cases)
    return "" if clause.untestable else "no case"
