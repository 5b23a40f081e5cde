"""Every mutant of a module: where it is, what it changes, and the changed tree."""

import ast
import re
from collections import Counter
from collections.abc import Iterable, Iterator
from importlib.util import find_spec
from pathlib import Path
from typing import Any, Final

from attrs import frozen

from mutant_operators import OF_CLASSES, Names, variants

#: The packages whose modules are mutated.
PACKAGES: Final = ("plexwire_protocol", "plexwire_trio", "plexwire_server")

#: Longest text by which a mutant's statement is known.
_MOST_TEXT: Final = 120
_SKIPPED: Final = frozenset(
    {"annotation", "returns", "decorator_list", "type_params", "bases", "type_comment"}
)
_MEMBER: Final = re.compile(r"[A-Z][A-Z0-9_]*")


@frozen
class Mutant:
    """One change of one module; `which` counts the mutants of one key, from 1."""

    module: str
    function: str
    operator: str
    statement: str
    which: int
    #: The line that has to run for the change to matter, and the first line of its statement.
    lines: tuple[int, int]
    #: Which site of the module's tree, and which of its variants.
    site: int
    variant: int

    @property
    def id(self) -> str:
        """What `show` takes; it is the same as long as the module is."""
        return f"{self.module}:{self.lines[0]}:{self.site}:{self.operator}:{self.variant}"


@frozen
class Source:
    """The source of one module."""

    module: str
    path: Path
    text: str


@frozen
class _Site:
    node: ast.AST
    parent: ast.AST
    slot: str
    at: int | None
    #: The nodes around it, from the statement inwards.
    around: tuple[ast.AST, ...]
    function: str


def sources() -> dict[str, Source]:
    """Return every module of the packages, by name."""
    found: dict[str, Source] = {}
    for package in PACKAGES:
        spec = find_spec(package)
        if spec is None or not spec.submodule_search_locations:
            raise SystemExit(f"{package} is not installed")
        root = Path(spec.submodule_search_locations[0])
        for path in sorted(root.rglob("*.py")):
            parts = path.relative_to(root).with_suffix("").parts
            parts = parts[:-1] if parts[-1] == "__init__" else parts
            module = ".".join((package, *parts))
            found[module] = Source(module, path, path.read_text("utf-8"))
    return found


def has_functions(source: Source) -> bool:
    """Whether anything in the module can run after its import."""
    functions = ast.FunctionDef | ast.AsyncFunctionDef | ast.Lambda
    return any(isinstance(node, functions) for node in ast.walk(ast.parse(source.text)))


def names_of(modules: Iterable[Source]) -> Names:
    """Return which names of *modules* may be confused with each other."""
    members: dict[str, set[str]] = {}
    families: list[tuple[str, ...]] = []
    for source in modules:
        tree = ast.parse(source.text)
        for node in ast.walk(tree):
            match node:
                case ast.Attribute(value=ast.Name(id=owner), attr=attr):
                    if owner[:1].isupper() and not owner.isupper() and _MEMBER.fullmatch(attr):
                        members.setdefault(owner, set()).add(attr)
                case _:
                    pass
        for statement in tree.body:
            match statement:
                case ast.Assign(targets=[ast.Tuple(elts=elements)]):
                    families.append(tuple(e.id for e in elements if isinstance(e, ast.Name)))
                case _:
                    pass
    return Names({owner: tuple(sorted(each)) for owner, each in members.items()}, tuple(families))


def mutants_of(source: Source, names: Names) -> Iterator[Mutant]:
    """Give every mutant of one module."""
    taken = Counter[tuple[str, str, str]]()
    for number, site in enumerate(_sites(ast.parse(source.text))):
        for variant, (operator, _) in enumerate(variants(site.node, site.parent, site.slot, names)):
            key = (site.function, operator, _text(site))
            taken[key] += 1
            first = _line(site.around[0])
            lines = (_line(site.node) or first, first)
            yield Mutant(source.module, *key, taken[key], lines, number, variant)


def changed(source: Source, mutant: Mutant, names: Names) -> ast.Module:
    """Return the tree of the module with the change of *mutant*."""
    tree = ast.parse(source.text)
    for number, site in enumerate(_sites(tree)):
        if number == mutant.site:
            _, change = list(variants(site.node, site.parent, site.slot, names))[mutant.variant]
            new = change(site.node)
            if site.at is None:
                setattr(site.parent, site.slot, new)
            else:
                getattr(site.parent, site.slot)[site.at] = new
            return ast.fix_missing_locations(tree)
    raise LookupError(f"{mutant.id}: the module has no such site")


def _sites(tree: ast.Module) -> Iterator[_Site]:
    def walk(site: _Site) -> Iterator[_Site]:
        node = site.node
        starts = isinstance(node, ast.stmt | ast.match_case | ast.ExceptHandler)
        around = (node,) if starts else (*site.around, node)
        site = _Site(node, site.parent, site.slot, site.at, around, site.function)
        yield site
        inner = site.function
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef):
            inner = f"{inner}.{node.name}" if inner else node.name
        for name, value in ast.iter_fields(node):
            if name in _SKIPPED or (isinstance(node, ast.keyword) and node.arg in OF_CLASSES):
                continue
            for at, each in enumerate(value if isinstance(value, list) else [value]):
                if isinstance(each, ast.AST) and not _is_docstring(each):
                    place = at if isinstance(value, list) else None
                    yield from walk(_Site(each, node, name, place, around, inner))

    for at, each in enumerate(tree.body):
        if not isinstance(each, ast.Import | ast.ImportFrom) and not _is_for_types(each):
            yield from walk(_Site(each, tree, "body", at, (), ""))


def _is_docstring(node: ast.AST) -> bool:
    return isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant)


def _is_for_types(node: ast.stmt) -> bool:
    match node:
        case ast.AnnAssign(annotation=annotation):
            return "TypeAlias" in ast.dump(annotation)
        case (
            ast.If(test=ast.Name(id="TYPE_CHECKING")) | ast.Assign(targets=[ast.Name(id="__all__")])
        ):
            return True
        case ast.Assign(value=ast.Call(func=ast.Name(id="TypeVar"))):
            return True
        case _:
            return _is_docstring(node)


def _line(node: ast.AST) -> int:
    if isinstance(node, ast.match_case):
        node = node.pattern
    for each in ast.walk(node):
        line = getattr(each, "lineno", None)
        if isinstance(line, int):
            return line
    return 0


def _text(site: _Site) -> str:
    """Return the text of the statement, or of the largest part of it around the site that is not too long."""
    for node in site.around:
        # Of what holds other statements only the first line counts.
        text = _unparsed(node).strip().split("\n")[0]
        if len(text) <= _MOST_TEXT:
            return text
    return _unparsed(site.node).strip().split("\n")[0][:_MOST_TEXT]


def _unparsed(node: Any) -> str:
    match node:
        case ast.FunctionDef(name=name) | ast.AsyncFunctionDef(name=name):
            return f"def {name}"
        case ast.ClassDef(name=name):
            return f"class {name}"
        case ast.With() | ast.AsyncWith() | ast.For() | ast.AsyncFor() | ast.While() | ast.If():
            return ast.unparse(_shell(node))
        case ast.match_case():
            return ast.unparse(ast.Match(ast.Name("_"), [_shell(node)])).split("\n", 1)[1]
        case ast.Match():
            return f"match {ast.unparse(node.subject)}:"
        case _:
            return ast.unparse(node)


def _shell(node: Any) -> Any:
    """Return *node* with an empty body."""
    fields = {
        name: value for name, value in ast.iter_fields(node) if name not in ("body", "orelse")
    }
    extra = {} if isinstance(node, ast.match_case) else {"lineno": 0, "col_offset": 0}
    if hasattr(node, "orelse"):
        fields["orelse"] = []
    return type(node)(**fields, body=[ast.Pass()], **extra)
