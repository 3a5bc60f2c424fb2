"""Source-level mutants of one Python function: each a small slip, made by replacing one node of its syntax tree.

    for mutant in mutants_of(linear_backward):
        print(mutant.line, mutant.before, "->", mutant.after)

The rules below are by kind of node. Each yields replacements for one node; `mutants_of` puts every replacement in place
in turn and writes the function out. Left alone: docstrings, signatures, annotations, and `xp = array_module(...)`,
which chooses between NumPy and CuPy and is no arithmetic. A statement is only removed where the names it binds are
bound before, operands are only swapped where their order counts, zeros are not negated: a mutant that cannot run, or
that is the same by the rules of arithmetic, would make the score look better or worse than the checks are.
"""

from __future__ import annotations

import ast
import inspect
import textwrap
from collections.abc import Callable, Collection, Iterator
from dataclasses import dataclass
from typing import Any

SLIGHTLY = 1.001  # the smallest wrong factor that must be noticed
LIBRARIES = ("xp", "np", "math")
OTHER_OPERATORS: dict[type, tuple[type, ...]] = {
    ast.Add: (ast.Sub, ast.Mult),
    ast.Sub: (ast.Add,),
    ast.Mult: (ast.Div, ast.Add),
    ast.Div: (ast.Mult,),
    ast.FloorDiv: (ast.Mult,),
    ast.Mod: (ast.FloorDiv,),
    ast.MatMult: (ast.Mult,),
    ast.Pow: (ast.Mult,),
    ast.BitAnd: (ast.BitOr,),
    ast.BitOr: (ast.BitAnd,),
}
OTHER_COMPARISONS: dict[type, tuple[type, ...]] = {
    ast.Eq: (ast.NotEq, ast.LtE),
    ast.NotEq: (ast.Eq,),
    ast.Lt: (ast.LtE, ast.GtE),
    ast.LtE: (ast.Lt, ast.Gt),
    ast.Gt: (ast.GtE, ast.LtE),
    ast.GtE: (ast.Gt, ast.Lt),
    ast.Is: (ast.IsNot,),
    ast.IsNot: (ast.Is,),
    ast.In: (ast.NotIn,),
    ast.NotIn: (ast.In,),
}
ORDERED_OPERATORS = (ast.Sub, ast.Div, ast.FloorDiv, ast.Mod, ast.MatMult, ast.Pow)
OTHER_FUNCTIONS = {"sum": ("mean", "max"), "mean": ("sum",), "zeros": ("ones",), "add": ("subtract",), "min": ("max",)}
UNTOUCHED_CALLS = ("tuple", "int", "array_module")  # conversions: without them the same numbers in another container
SYMMETRIC_CALLS = ("min", "max", "maximum", "swapaxes")

Replacement = tuple[str, ast.AST]


@dataclass(frozen=True)
class Mutant:
    """One slip: where it is, the statement before and after, and the source of the whole function with it."""

    module: str
    function: str
    line: int
    kind: str
    before: str
    after: str
    source: str


def mutants_of(function: Callable, lines: Collection[int] | None = None) -> list[Mutant]:
    """All mutants of a function, no two alike; with `lines`, only of statements on these lines of its file."""
    tree = ast.parse(textwrap.dedent(inspect.getsource(function)))
    definition = tree.body[0]
    assert isinstance(definition, ast.FunctionDef)
    offset, scope = function.__code__.co_firstlineno - 1, _Scope(_bindings(definition), _attributes(definition))
    seen, found = {ast.unparse(tree)}, []
    for place in list(_places(definition)):
        statement = place.statement
        span = range(statement.lineno + offset, (statement.end_lineno or statement.lineno) + offset + 1)
        if _is_library_choice(statement) or (lines is not None and not set(span) & set(lines)):
            continue
        before = ast.unparse(statement).splitlines()[0]
        for kind, replacement in _replacements(place, scope):
            place.put(ast.fix_missing_locations(replacement))
            shown = replacement if place.child is statement else statement
            source, after = ast.unparse(tree), ast.unparse(shown).splitlines()[0]
            place.put(place.child)
            if source not in seen:
                seen.add(source)
                found.append(Mutant(function.__module__, function.__name__, span[0], kind, before, after, source))
    return found


@dataclass(frozen=True)
class _Place:
    """Where a node hangs in the tree: a field of its parent, or one entry of a list there."""

    parent: ast.AST
    field: str
    index: int | None
    child: ast.AST
    statement: ast.stmt

    def put(self, node: ast.AST) -> None:
        if self.index is None:
            setattr(self.parent, self.field, node)
        else:
            getattr(self.parent, self.field)[self.index] = node


def _places(definition: ast.FunctionDef) -> Iterator[_Place]:
    """Every node of the function's body below its docstring."""
    for index, statement in enumerate(definition.body):
        if not (isinstance(statement, ast.Expr) and isinstance(statement.value, ast.Constant)):
            yield _Place(definition, "body", index, statement, statement)
            yield from _places_below(statement, statement)


def _places_below(node: ast.AST, statement: ast.stmt) -> Iterator[_Place]:
    for field, value in ast.iter_fields(node):
        for index, child in enumerate(value) if isinstance(value, list) else [(None, value)]:
            if isinstance(child, ast.AST):
                inner = child if isinstance(child, ast.stmt) else statement
                yield _Place(node, field, index, child, inner)
                yield from _places_below(child, inner)


@dataclass(frozen=True)
class _Scope:
    """What else a function could have named by mistake."""

    names: dict[str, int]  # its own names, in the order in which they are first bound, and on which line
    attributes: dict[str, list[str]]  # what is read of each: {"cache": ["a_shape", "b_shape"]}


def _is_library_choice(statement: ast.stmt) -> bool:
    return isinstance(statement, ast.Assign) and ast.unparse(statement.value).startswith("array_module(")


def _bindings(definition: ast.FunctionDef) -> dict[str, int]:
    arguments = definition.args
    bound = {a.arg: 0 for a in (*arguments.posonlyargs, *arguments.args, *arguments.kwonlyargs)}
    for node in ast.walk(definition):
        targets = node.targets if isinstance(node, ast.Assign) else [node.target] if isinstance(node, ast.For) else []
        for target in targets:
            for name in ast.walk(target):
                if isinstance(name, ast.Name) and isinstance(name.ctx, ast.Store) and name.id not in LIBRARIES:
                    bound.setdefault(name.id, node.lineno)
    return bound


def _attributes(definition: ast.FunctionDef) -> dict[str, list[str]]:
    found: dict[str, list[str]] = {}
    for node in ast.walk(definition):
        if isinstance(node, ast.Attribute) and ast.unparse(node.value) == "cache":
            found.setdefault("cache", []).append(node.attr)
    return {name: list(dict.fromkeys(read)) for name, read in found.items()}


# The rules


def _replacements(place: _Place, scope: _Scope) -> Iterator[Replacement]:
    """What may stand in this place instead."""
    rule = RULES.get(type(place.child))
    if rule is not None:
        yield from rule(place.child)
    if isinstance(place.child, ast.Name):
        yield from _name(place, scope.names)
    if isinstance(place.child, ast.Attribute):
        for other in scope.attributes.get(ast.unparse(place.child.value), ()):
            yield "another field", _copy(place.child, attr=other)
    if isinstance(place.child, ast.stmt):
        yield from _removed(place, scope.names)
    elif _is_result(place):
        yield "negated", ast.UnaryOp(ast.USub(), place.child)
        if "arange(" not in ast.unparse(place.child):  # positions are compared, never multiplied
            yield "scaled", ast.BinOp(place.child, ast.Mult(), ast.Constant(SLIGHTLY))


def _is_result(place: _Place) -> bool:
    """Is this what a statement assigns to a name or returns, as an expression of its own?"""
    if not isinstance(place.child, ast.BinOp | ast.Call | ast.Attribute | ast.UnaryOp):
        return False
    if ast.unparse(place.child).startswith("xp.zeros("):
        return False
    statement = place.statement
    values = statement.value.elts if isinstance(getattr(statement, "value", None), ast.Tuple) else []
    assigned = isinstance(statement, ast.Assign) and not isinstance(statement.targets[0], ast.Tuple)
    return (assigned or isinstance(statement, ast.Return)) and place.child in (statement.value, *values)


def _copy(node: ast.AST, **changes: Any) -> ast.AST:
    """The same node with some fields changed (the children are shared)."""
    return type(node)(**{**dict(ast.iter_fields(node)), **changes})


def _swaps(node: ast.AST, field: str) -> Iterator[ast.AST]:
    """The node with each two neighbours of one of its lists swapped."""
    entries = getattr(node, field)
    for i in range(len(entries) - 1):
        yield _copy(node, **{field: [*entries[:i], entries[i + 1], entries[i], *entries[i + 2 :]]})


def _without(node: ast.AST, field: str, index: int) -> ast.AST:
    return _copy(node, **{field: [entry for i, entry in enumerate(getattr(node, field)) if i != index]})


def _binary(node: ast.BinOp) -> Iterator[Replacement]:
    for operator in OTHER_OPERATORS.get(type(node.op), ()):
        yield "operator", _copy(node, op=operator())
    yield "right operand dropped", node.left
    yield "left operand dropped", ast.UnaryOp(ast.USub(), node.right) if isinstance(node.op, ast.Sub) else node.right
    if isinstance(node.op, ORDERED_OPERATORS):
        yield "operands swapped", _copy(node, left=node.right, right=node.left)


def _compare(node: ast.Compare) -> Iterator[Replacement]:
    yield from (("comparison", _copy(node, ops=[operator()])) for operator in OTHER_COMPARISONS[type(node.ops[0])])


def _bool(node: ast.BoolOp) -> Iterator[Replacement]:
    yield "operator", _copy(node, op=ast.Or() if isinstance(node.op, ast.And) else ast.And())
    for value in node.values:
        yield "condition alone", value


def _unary(node: ast.UnaryOp) -> Iterator[Replacement]:
    yield "sign or not removed", node.operand


def _constant(node: ast.Constant) -> Iterator[Replacement]:
    value = node.value
    if isinstance(value, bool):
        yield "constant", ast.Constant(not value)
    elif isinstance(value, int):
        for other in {0: (1,), 1: (0, 2)}.get(value, (value - 1, value + 1)):
            yield "constant", ast.Constant(other)
    elif isinstance(value, float):
        for other in {0.0: (1.0,), 1.0: (0.0, 2.0, SLIGHTLY)}.get(value, (2 * value, SLIGHTLY * value)):
            yield "constant", ast.Constant(other)


def _call(node: ast.Call) -> Iterator[Replacement]:
    function = node.func
    name = function.attr if isinstance(function, ast.Attribute) else ast.unparse(function)
    if name in UNTOUCHED_CALLS:
        return
    for index in range(len(node.keywords)):
        yield "keyword dropped", _without(node, "keywords", index)
    for index in range(1, len(node.args)):
        yield "argument dropped", _without(node, "args", index)
    for swapped in _swaps(node, "args") if name not in SYMMETRIC_CALLS else ():
        yield "arguments swapped", swapped
    for argument in node.args:
        yield "call replaced by its argument", argument
    if isinstance(function, ast.Attribute) and ast.unparse(function.value) not in LIBRARIES:
        yield "method not called", function.value
    for other in OTHER_FUNCTIONS.get(name, ()):
        changed = _copy(function, attr=other) if isinstance(function, ast.Attribute) else ast.Name(other, ast.Load())
        yield "function", _copy(node, func=changed)


def _attribute(node: ast.Attribute) -> Iterator[Replacement]:
    if node.attr == "T":
        yield "not transposed", node.value
    if node.attr == "inf":
        yield "constant", ast.Constant(0.0)
    if node.attr == "add":
        yield "function", _copy(node, attr="subtract")


def _subscript(node: ast.Subscript) -> Iterator[Replacement]:
    if isinstance(node.ctx, ast.Load):
        yield "not indexed", node.value


def _slice(node: ast.Slice) -> Iterator[Replacement]:
    for field in ("lower", "upper", "step"):
        if getattr(node, field) is not None:
            yield "slice", _copy(node, **{field: None})


def _sequence(node: ast.Tuple | ast.List) -> Iterator[Replacement]:
    for swapped in _swaps(node, "elts"):
        yield "neighbours swapped", swapped


def _conditional(node: ast.IfExp) -> Iterator[Replacement]:
    yield "always", node.body
    yield "never", node.orelse
    yield "arms swapped", _copy(node, body=node.orelse, orelse=node.body)


def _comprehension(node: ast.comprehension) -> Iterator[Replacement]:
    if node.ifs:
        yield "condition dropped", _copy(node, ifs=[])


def _if(node: ast.If) -> Iterator[Replacement]:
    for value in (True, False):
        yield "always" if value else "never", _copy(node, test=ast.Constant(value))


def _for(node: ast.For) -> Iterator[Replacement]:
    first, last = ast.Slice(lower=ast.Constant(1)), ast.Slice(upper=ast.UnaryOp(ast.USub(), ast.Constant(1)))
    for kind, part in (("first turn skipped", first), ("last turn skipped", last)):
        yield kind, _copy(node, iter=ast.Subscript(node.iter, part, ast.Load()))


def _name(place: _Place, local_names: dict[str, int]) -> Iterator[Replacement]:
    """Every other name bound so far; a constant of the module, slightly changed."""
    node = place.child
    if not isinstance(node, ast.Name) or not isinstance(node.ctx, ast.Load):
        return
    if node.id.isupper() and node.id not in local_names:
        yield "scaled", ast.BinOp(node, ast.Mult(), ast.Constant(SLIGHTLY))
    if node.id in local_names:
        for other in local_names:
            if other != node.id and local_names[other] < place.statement.lineno:
                yield "another name", ast.Name(other, ast.Load())


def _removed(place: _Place, local_names: dict[str, int]) -> Iterator[Replacement]:
    """The statement left out, where the function can still be run without it."""
    statement = place.child
    targets = statement.targets if isinstance(statement, ast.Assign) else []
    names = [n.id for t in targets for n in ast.walk(t) if isinstance(n, ast.Name) and isinstance(n.ctx, ast.Store)]
    rebound = all(local_names.get(name, statement.lineno) < statement.lineno for name in names)
    if isinstance(statement, ast.Expr | ast.AugAssign | ast.For) or (targets and rebound):
        yield "statement removed", ast.Pass()


RULES: dict[type, Callable[[Any], Iterator[Replacement]]] = {
    ast.BinOp: _binary,
    ast.Compare: _compare,
    ast.BoolOp: _bool,
    ast.UnaryOp: _unary,
    ast.Constant: _constant,
    ast.Call: _call,
    ast.Attribute: _attribute,
    ast.Subscript: _subscript,
    ast.Slice: _slice,
    ast.Tuple: _sequence,
    ast.List: _sequence,
    ast.IfExp: _conditional,
    ast.comprehension: _comprehension,
    ast.If: _if,
    ast.For: _for,
}
