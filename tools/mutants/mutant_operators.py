"""What a mutant may change: small faults that programmers make, each as an operator over one node of a syntax tree."""

import ast
from collections.abc import Callable, Iterator, Mapping
from typing import Any, Final, TypeAlias

from attrs import frozen

#: Changes a node of a tree that nobody else uses, and returns what takes its place.
Change: TypeAlias = Callable[[Any], ast.AST]
#: An operator's name, and what it does to the node that it was found for.
Variant: TypeAlias = tuple[str, Change]

_EDGES: Final = {ast.Lt: ast.LtE, ast.LtE: ast.Lt, ast.Gt: ast.GtE, ast.GtE: ast.Gt}
_OPPOSITES: Final[Mapping[type[ast.cmpop], type[ast.cmpop]]] = {
    ast.Lt: ast.GtE,
    ast.LtE: ast.Gt,
    ast.Gt: ast.LtE,
    ast.GtE: ast.Lt,
    ast.Eq: ast.NotEq,
    ast.NotEq: ast.Eq,
    ast.In: ast.NotIn,
    ast.NotIn: ast.In,
    ast.Is: ast.IsNot,
    ast.IsNot: ast.Is,
}
_ARITHMETIC: Final[Mapping[type[ast.operator], type[ast.operator]]] = {
    ast.Add: ast.Sub,
    ast.Sub: ast.Add,
    ast.Mult: ast.FloorDiv,
    ast.FloorDiv: ast.Mult,
    ast.Div: ast.Mult,
    ast.Mod: ast.FloorDiv,
    ast.BitOr: ast.BitAnd,
    ast.BitAnd: ast.BitOr,
}
_FUNCTIONS: Final = {
    "sorted": "list",
    "min": "max",
    "max": "min",
    "any": "all",
    "all": "any",
    "iter": "reversed",
}
#: Methods whose call without arguments may be left out.
_OPTIONAL: Final = frozenset({"strip", "lower", "encode", "copy"})
#: Keyword arguments that say how a class is made, and nothing that a peer could see.
OF_CLASSES: Final = frozenset({"repr", "init", "kw_only", "eq"})
_KEPT: Final = OF_CLASSES | {"factory", "now"}


@frozen
class Names:
    """Which names of the mutated packages may be confused: enum members by class, and constants by family."""

    members: Mapping[str, tuple[str, ...]]
    families: tuple[tuple[str, ...], ...]


def variants(node: ast.AST, parent: ast.AST, slot: str, names: Names) -> Iterator[Variant]:
    """Give every change of *node*, which the field *slot* of *parent* holds."""
    if slot in ("test", "guard") or (slot == "ifs" and isinstance(parent, ast.comprehension)):
        if not isinstance(parent, ast.Assert):
            yield "negate", lambda n: ast.UnaryOp(ast.Not(), n)
        if slot == "guard":
            yield "guard-drop", lambda n: ast.Constant(True)
    match node:
        case ast.Compare():
            yield from _of_comparison(node, slot)
        case ast.BoolOp() | ast.UnaryOp() | ast.BinOp() | ast.IfExp():
            yield from _of_operation(node)
        case ast.Constant():
            yield from _of_constant(node.value, parent)
        case ast.Name() | ast.Attribute():
            yield from _of_name(node, names)
        case ast.Call():
            yield from _of_call(node)
        case ast.Slice() | ast.Subscript():
            yield from _of_subscript(node)
        case ast.Tuple() | ast.List() | ast.Set() | ast.Dict():
            yield from _of_collection(node)
        case ast.match_case() if isinstance(parent, ast.Match) and len(parent.cases) > 1:
            yield "case-drop", lambda n: ast.match_case(n.pattern, ast.Constant(False), n.body)
        case ast.stmt():
            yield from _of_statement(node, parent, slot)
        case _:
            pass


def _set(name: str, value: Callable[[Any], Any]) -> Change:
    def change(node: Any) -> ast.AST:
        setattr(node, name, value(node))
        return node  # type: ignore[no-any-return]

    return change


def _without(name: str, at: int) -> Change:
    """Return the change that takes one entry out of the list *name*."""
    return _set(name, lambda n: getattr(n, name)[:at] + getattr(n, name)[at + 1 :])


def _of_comparison(node: ast.Compare, slot: str) -> Iterator[Variant]:
    def replaced(at: int, op: type[ast.cmpop]) -> Change:
        return _set("ops", lambda n: [*n.ops[:at], op(), *n.ops[at + 1 :]])

    # The sole comparison of an `if` is negated already.
    sole = len(node.ops) == 1 and slot == "test"
    for at, op in enumerate(node.ops):
        if edge := _EDGES.get(type(op)):
            yield "cmp-edge", replaced(at, edge)
        if not sole:
            yield "cmp-not", replaced(at, _OPPOSITES[type(op)])


def _of_operation(node: ast.BoolOp | ast.UnaryOp | ast.BinOp | ast.IfExp) -> Iterator[Variant]:
    def without(at: int) -> Change:
        def change(n: ast.BoolOp) -> ast.AST:
            del n.values[at]
            return n if len(n.values) > 1 else n.values[0]

        return change

    match node:
        case ast.BoolOp():
            other = ast.Or if isinstance(node.op, ast.And) else ast.And
            yield "and-or", _set("op", lambda n: other())
            for at in range(len(node.values)):
                yield "operand-drop", without(at)
        case ast.UnaryOp(op=ast.Not()):
            yield "not-drop", lambda n: n.operand
        case ast.UnaryOp(op=ast.USub()):
            yield "minus-drop", lambda n: n.operand
        case ast.BinOp() if swapped := _ARITHMETIC.get(type(node.op)):
            yield "arith", _set("op", lambda n: swapped())
        case ast.IfExp():
            yield "ifexp-body", lambda n: n.body
            yield "ifexp-else", lambda n: n.orelse
        case _:
            pass


def _of_constant(value: Any, parent: ast.AST) -> Iterator[Variant]:
    match value:
        case bool():
            yield "bool", lambda n: ast.Constant(not n.value)
        case int() | float():
            yield "num+1", lambda n: ast.Constant(n.value + 1)
            yield "num-1", lambda n: ast.Constant(n.value - 1)
            if value not in (0, 1, 2):
                yield "num*2", lambda n: ast.Constant(n.value * 2)
        case bytes():
            yield (
                "text",
                lambda n: ast.Constant(n.value[:-1] + (b"y" if n.value[-1:] == b"x" else b"x")),
            )
        case str() if not value.startswith("PW-") and not _is_prose(value, parent):
            yield (
                "text",
                lambda n: ast.Constant(n.value[:-1] + ("y" if n.value[-1:] == "x" else "x")),
            )
            if value:
                yield "text-empty", lambda n: ast.Constant("")
        case _:
            pass


def _is_prose(value: str, parent: ast.AST) -> bool:
    """Whether a text is for people: no clause is about its words."""
    return " " in value or isinstance(parent, ast.JoinedStr)


def _of_name(node: ast.Name | ast.Attribute, names: Names) -> Iterator[Variant]:
    if not isinstance(node.ctx, ast.Load):
        return
    match node:
        case ast.Attribute(value=ast.Name(id=owner), attr=attr):
            members = names.members.get(owner, ())
            if attr in members and len(members) > 1:
                other = members[(members.index(attr) + 1) % len(members)]
                yield "member", _set("attr", lambda n: other)
        case ast.Name(id=name):
            for family in names.families:
                if name in family:
                    sibling = family[(family.index(name) + 1) % len(family)]
                    yield "name", _renamed(sibling)
        case _:
            pass


def _renamed(name: str) -> Change:
    return _set("id", lambda n: name)


def _alike(one: ast.expr, other: ast.expr) -> bool:
    """Whether two arguments may well be of one type, and are not the same."""
    same = type(one) is type(other) and ast.dump(one) != ast.dump(other)
    if isinstance(one, ast.Constant) and isinstance(other, ast.Constant):
        return same and type(one.value) is type(other.value)
    return same


def _of_call(node: ast.Call) -> Iterator[Variant]:
    def swapped(at: int) -> Change:
        return _set("args", lambda n: [*n.args[:at], n.args[at + 1], n.args[at], *n.args[at + 2 :]])

    def values_swapped(at: int) -> Change:
        def change(n: ast.Call) -> ast.AST:
            one, other = n.keywords[at : at + 2]
            one.value, other.value = other.value, one.value
            return n

        return change

    if not any(isinstance(argument, ast.Starred) for argument in node.args):
        for at in range(len(node.args) - 1):
            if _alike(node.args[at], node.args[at + 1]):
                yield "swap-args", swapped(at)
    for at, keyword in enumerate(node.keywords):
        following = node.keywords[at + 1 : at + 2]
        if keyword.arg and any(k.arg and _alike(keyword.value, k.value) for k in following):
            yield "swap-kwargs", values_swapped(at)
        if keyword.arg and keyword.arg not in _KEPT:
            yield (
                "kwarg-drop",
                _without("keywords", at),
            )
    match node.func:
        case ast.Name(id=name) if name in _FUNCTIONS and node.args:
            yield "function", _set("func", lambda n: ast.Name(_FUNCTIONS[name], ast.Load()))
        case ast.Attribute(attr=name):
            yield from _of_method(name, node)
        case _:
            pass


def _of_method(name: str, node: ast.Call) -> Iterator[Variant]:
    def renamed(other: str) -> Change:
        return _set("func", lambda n: ast.Attribute(n.func.value, other, ast.Load()))

    match name, len(node.args):
        case _, 0 if name in _OPTIONAL and not node.keywords:
            yield "method-drop", lambda n: n.func.value
        case "pop", 1 | 2:
            yield "pop-keep", renamed("get" if len(node.args) == 2 else "__getitem__")
        case "setdefault", 2:
            yield "setdefault-reset", lambda n: n.args[1]
        case "get", 2:
            yield "get-default", lambda n: n.args[1]
        case "fullmatch", _:
            yield "match", renamed("match")
        case "partition", _:
            yield "partition", renamed("rpartition")
        case _:
            pass


def _of_subscript(node: ast.Slice | ast.Subscript) -> Iterator[Variant]:
    if isinstance(node, ast.Subscript):
        if isinstance(node.slice, ast.Constant) and node.slice.value == 0:
            yield "first-last", _set("slice", lambda n: ast.Constant(-1))
        return
    for end in ("lower", "upper"):
        if getattr(node, end) is not None:

            def moved(n: Any, end: str = end) -> ast.AST:
                return ast.BinOp(getattr(n, end), ast.Add(), ast.Constant(1))

            yield f"slice-{end}+1", _set(end, moved)
            yield f"slice-{end}-drop", _set(end, lambda n: None)


def _of_collection(node: ast.Tuple | ast.List | ast.Set | ast.Dict) -> Iterator[Variant]:
    if isinstance(node, ast.Dict):

        def without(at: int) -> Change:
            def change(n: ast.Dict) -> ast.AST:
                del n.keys[at], n.values[at]
                return n

            return change

        for at in range(len(node.keys) if len(node.keys) > 1 else 0):
            yield "entry-drop", without(at)
    elif isinstance(getattr(node, "ctx", ast.Load()), ast.Load) and len(node.elts) > 1:
        for at in range(len(node.elts)):
            yield "element-drop", _without("elts", at)


def _of_statement(node: ast.stmt, parent: ast.AST, slot: str) -> Iterator[Variant]:
    match node:
        case ast.Expr(value=ast.Call() | ast.Await()):
            yield "call-drop", _nothing
        case ast.Return(value=ast.expr() as value):
            if not (isinstance(value, ast.Constant) and value.value is None):
                yield "return-none", lambda n: ast.Return(None)
            if isinstance(value, ast.List) and value.elts:
                yield "return-empty", lambda n: ast.Return(ast.List([], ast.Load()))
            if slot == "body" and isinstance(parent, ast.If):
                yield "return-drop", _nothing
        case ast.Raise():
            yield "raise-drop", _nothing
        case ast.Assign(targets=[ast.Attribute() | ast.Subscript(), *_]):
            yield "assign-drop", _nothing
        case ast.AugAssign():
            yield "update-drop", _nothing
            if swapped := _ARITHMETIC.get(type(node.op)):
                yield "arith", _set("op", lambda n: swapped())
        case ast.Delete():
            yield "update-drop", _nothing
        case ast.With() | ast.AsyncWith() if all(i.optional_vars is None for i in node.items):
            yield "with-drop", lambda n: ast.If(ast.Constant(True), n.body, [])
        case ast.Break() | ast.Continue():
            yield "jump-drop", _nothing
        case _:
            pass


def _nothing(node: Any) -> ast.AST:
    return ast.Pass()
