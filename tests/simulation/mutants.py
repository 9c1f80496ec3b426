"""Small wrong versions of a source file, made mechanically from its syntax tree.

A mutant changes one comparison, boolean operator, condition, constant, arithmetic operator or choice, or leaves out one
statement. It is named by its function and by the code before and after, so that its name survives edits elsewhere
in the file and a reader sees at once what was changed.
"""

from __future__ import annotations

import ast
import copy
import functools
import hashlib
from collections.abc import Callable, Iterator

import attrs

_COMPARISONS: dict[type[ast.cmpop], tuple[type[ast.cmpop], ...]] = {
    ast.Lt: (ast.LtE, ast.GtE),
    ast.LtE: (ast.Lt, ast.Gt),
    ast.Gt: (ast.GtE, ast.LtE),
    ast.GtE: (ast.Gt, ast.Lt),
    ast.Eq: (ast.NotEq,),
    ast.NotEq: (ast.Eq,),
    ast.Is: (ast.IsNot,),
    ast.IsNot: (ast.Is,),
    ast.In: (ast.NotIn,),
    ast.NotIn: (ast.In,),
}
_ARITHMETIC: dict[type[ast.operator], type[ast.operator]] = {
    ast.Add: ast.Sub,
    ast.Sub: ast.Add,
    ast.Mult: ast.Div,
    ast.Div: ast.Mult,
    ast.FloorDiv: ast.Mult,
    ast.Mod: ast.Mult,
    ast.BitOr: ast.BitAnd,
}
_CHOICES = {"min": "max", "max": "min", "any": "all", "all": "any"}
_BOUNDARIES = {ast.Lt: (ast.LtE,), ast.LtE: (ast.Lt,), ast.Gt: (ast.GtE,), ast.GtE: (ast.Gt,)}
_TIMES = ("now", "_at", "_since", "_until", "_seconds")
"""Times are real numbers: whether the very instant belongs to before or after is nobody's business."""

_UNSEEN_CALLS = frozenset({"_note", "_remark"})
"""Calls that only observers notice; their loss is no change of behaviour."""


@attrs.frozen
class Mutant:
    """One wrong version."""

    module: str
    function: str
    line: int
    before: str
    after: str
    #: Makes the wrong syntax tree; most mutants are only ever named.
    make: Callable[[], ast.Module]
    #: Counts equal changes within one function.
    number: int = 0

    @property
    def name(self) -> str:
        """The line that survivors.txt knows it by."""
        suffix = f" #{self.number + 1}" if self.number else ""
        return f"{self.module}.{self.function}: {self.before} => {self.after}{suffix}"

    @property
    def lot(self) -> str:
        """A number drawn from the name, by which samples are taken: edits elsewhere do not reshuffle it."""
        return hashlib.sha256(self.name.encode()).hexdigest()


def mutants_of(module: str, source: str) -> Iterator[Mutant]:
    """Yield every mutant of a source file, in the order of its lines."""
    tree = ast.parse(source)
    seen: dict[tuple[str, str, str], int] = {}
    for function, body in _functions(tree):
        for node in [body, *_code_of(body)]:
            for before, after, put, take in _changes(node):
                make = functools.partial(_mutated, tree, put, take)
                key = function, before, after
                number = seen[key] = seen.get(key, -1) + 1
                yield Mutant(module, function, getattr(node, "lineno", 0), before, after, make, number)


def _mutated(tree: ast.Module, put: Callable[[], None], take: Callable[[], None]) -> ast.Module:
    put()
    mutated = copy.deepcopy(tree)
    take()
    return mutated


def _functions(tree: ast.Module) -> Iterator[tuple[str, ast.FunctionDef]]:
    for item in tree.body:
        if isinstance(item, ast.FunctionDef):
            yield item.name, item
        elif isinstance(item, ast.ClassDef):
            for inner in item.body:
                if isinstance(inner, ast.FunctionDef):
                    yield f"{item.name}.{inner.name}", inner


def _code_of(function: ast.FunctionDef) -> Iterator[ast.AST]:
    """Yield the nodes that run: no annotations, docstrings, assertions or notes."""
    waiting: list[ast.AST] = list(reversed(function.body))
    while waiting:
        node = waiting.pop()
        if isinstance(node, ast.Assert) or (isinstance(node, ast.Expr) and _is_unseen(node.value)):
            continue
        yield node
        children = list(ast.iter_child_nodes(node))
        if isinstance(node, ast.AnnAssign):
            children = [node.value] if node.value else []
        waiting.extend(reversed(children))


def _is_unseen(value: ast.expr) -> bool:
    if isinstance(value, ast.Constant):
        return True
    return (
        isinstance(value, ast.Call)
        and isinstance(value.func, ast.Attribute)
        and value.func.attr in _UNSEEN_CALLS
    )


Change = tuple[str, str, Callable[[], None], Callable[[], None]]


def _changes(node: ast.AST) -> Iterator[Change]:
    """Yield (before, after, put the change in, take it back) for one node."""
    if isinstance(node, ast.Compare):
        yield from _compare(node)
    elif isinstance(node, ast.BoolOp):
        yield _swap(node, "op", ast.Or() if isinstance(node.op, ast.And) else ast.And())
    elif isinstance(node, ast.BinOp | ast.AugAssign) and type(node.op) in _ARITHMETIC:
        yield _swap(node, "op", _ARITHMETIC[type(node.op)]())
    elif isinstance(node, ast.If | ast.While | ast.IfExp):
        yield _swap(node, "test", ast.UnaryOp(ast.Not(), node.test), shown=node.test)
    elif isinstance(node, ast.Constant) and isinstance(node.value, bool | int | float):
        value = not node.value if isinstance(node.value, bool) else node.value + 1
        yield _swap(node, "value", value)
    elif isinstance(node, ast.Name) and node.id in _CHOICES:
        yield _swap(node, "id", _CHOICES[node.id])
    if isinstance(node, ast.stmt):
        yield from _statements(node)


def _compare(node: ast.Compare) -> Iterator[Change]:
    old = node.ops
    text = ast.unparse(node)
    for operator in _COMPARISONS.get(type(old[0]), ()):
        if operator in _BOUNDARIES.get(type(old[0]), ()) and any(word in text for word in _TIMES):
            continue
        yield _swap(node, "ops", [operator(), *old[1:]])


def _swap(node: ast.AST, field: str, value: object, *, shown: ast.AST | None = None) -> Change:
    old = getattr(node, field)
    before = ast.unparse(shown or node)
    setattr(node, field, value)
    after = ast.unparse(getattr(node, field) if shown else node)
    setattr(node, field, old)
    return (
        _short(before),
        _short(after),
        lambda: setattr(node, field, value),
        lambda: setattr(node, field, old),
    )


def _statements(node: ast.stmt) -> Iterator[Change]:
    """Leave out a statement of the node's body (its own kind of change: the effect that is not emitted)."""
    for field in ("body", "orelse"):
        body = getattr(node, field, None)
        if not isinstance(body, list):
            continue
        for index, statement in enumerate(body):
            yield from _omission(body, index, statement)


def _omission(body: list[ast.stmt], index: int, statement: ast.stmt) -> Iterator[Change]:
    is_call = isinstance(statement, ast.Expr) and not _is_unseen(statement.value)
    if is_call or isinstance(statement, ast.Assign | ast.AugAssign):

        def put() -> None:
            body[index] = ast.copy_location(ast.Pass(), statement)

        def take() -> None:
            body[index] = statement

        yield _short(ast.unparse(statement)), "(left out)", put, take


def _short(text: str) -> str:
    return " ".join(text.split())
