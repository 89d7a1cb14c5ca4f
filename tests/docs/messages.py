"""Every message that the product's source can make an error of, with `…` where a value stands."""

import ast
import builtins
import itertools
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

ROOT = Path(__file__).parents[2]
PACKAGES = ("recap_model", "components", "pipeline")
GAP = "…"

# Said to who writes code, and to nobody who runs it.
_OF_PROGRAMMERS = {"AssertionError", "AttributeError"}
_BUILTIN = {
    name for name, one in vars(builtins).items() if isinstance(one, type) and issubclass(one, Exception)
}
_DEPTH = 6  # of helpers that a message is followed through
_MOST = 32  # texts of one expression

Function = ast.FunctionDef | ast.AsyncFunctionDef


@dataclass(frozen=True)
class Message:
    """``text`` as the source holds it, made in ``where``, file:line, for the exception or finding ``kind``."""

    text: str
    where: str
    kind: str

    @property
    def is_carrier(self) -> bool:
        """It holds no word of its own: what it says was made elsewhere."""
        return not any(letter.isalpha() for letter in self.text)


def messages(root: Path = ROOT, packages: tuple[str, ...] = PACKAGES) -> list[Message]:
    """All messages of exceptions and of doctor's findings made in ``packages``, by file and line, each once."""
    files = [
        _File(path, path.relative_to(root).as_posix())
        for package in packages
        for path in sorted((root / package).rglob("*.py"))
    ]
    kinds = _exceptions(files) - _OF_PROGRAMMERS
    return list(dict.fromkeys(message for file in files for message in file.messages(kinds)))


def _exceptions(files: "list[_File]") -> set[str]:
    """The built-in exceptions, the product's own, which derive from them, and the command line's."""
    known = _BUILTIN | {"BadParameter"}
    classes = [one for file in files for one in ast.walk(file.tree) if isinstance(one, ast.ClassDef)]
    while more := {
        one.name
        for one in classes
        if one.name not in known and any(_name(base) in known for base in one.bases)
    }:
        known |= more
    return known


class _File:
    def __init__(self, path: Path, name: str) -> None:
        self.name = name
        self.tree = ast.parse(path.read_text(encoding="utf-8"))

    def messages(self, kinds: set[str]) -> Iterator[Message]:
        for scope, call in _calls(self.tree, self.tree):
            kind, where = _name(call.func), f"{self.name}:{call.lineno}"
            if kind in kinds and call.args:
                yield from self._of(call.args[0], scope, where, kind)
            # A doctor's finding that is not well: what, state, words.
            if kind == "Finding" and len(call.args) == 3 and self.texts(call.args[1], scope, 0) != ["ok"]:
                yield from self._of(call.args[2], scope, where, kind)

    def _of(self, node: ast.expr, scope: ast.AST, where: str, kind: str) -> Iterator[Message]:
        found = self.texts(node, scope, 0)
        for text in _worded(found) or found:
            yield Message(text, where, kind)

    @cached_property
    def functions(self) -> dict[str, Function]:
        return {one.name: one for one in ast.walk(self.tree) if isinstance(one, Function)}

    def texts(self, node: ast.expr, scope: ast.AST, depth: int) -> list[str]:
        """The texts that an expression can be; what only a run knows is a gap."""
        match node:
            case ast.Constant(value=value):
                return [GAP if value is None else str(value)]
            case ast.JoinedStr(values=values):
                return self._joined(values, scope, depth)
            case ast.FormattedValue(value=value):
                return self.texts(value, scope, depth)
            case ast.BinOp(left=left, op=ast.Add(), right=right):
                return self._joined([left, right], scope, depth)
            case ast.IfExp(body=body, orelse=orelse):
                return _few(self.texts(body, scope, depth) + self.texts(orelse, scope, depth))
            case ast.BoolOp(values=values):
                return _few([text for one in values for text in self.texts(one, scope, depth)])
            case ast.Name(id=name) if depth < _DEPTH:
                return self._named(name, scope, depth + 1)
            case ast.Call(func=ast.Attribute(value=ast.Constant(), attr="join"), args=[items]):
                return self._items(items, scope, depth) or [GAP]
            case ast.Call(func=function, args=_) if depth < _DEPTH:
                return self._returned(_name(function), depth + 1) or [GAP]
        return [GAP]

    def _joined(self, nodes: list[ast.expr], scope: ast.AST, depth: int) -> list[str]:
        parts = [self.texts(one, scope, depth) for one in nodes]
        return _few([_closed("".join(one)) for one in itertools.islice(itertools.product(*parts), _MOST)])

    def _named(self, name: str, scope: ast.AST, depth: int) -> list[str]:
        """What a function gives to a name of its own, or what those who call it hand over for it."""
        given = [
            one.value
            for one in ast.walk(scope)
            if isinstance(one, ast.Assign | ast.NamedExpr)
            and any(
                _name(target) == name for target in getattr(one, "targets", [getattr(one, "target", one)])
            )
        ]
        found = [text for value in given for text in self.texts(value, scope, depth)]
        if not given and isinstance(scope, Function):
            found = [text for value, of in self._handed(scope, name) for text in self.texts(value, of, depth)]
        return _few(found) or [GAP]

    def _handed(self, function: Function, parameter: str) -> Iterator[tuple[ast.expr, ast.AST]]:
        names = [one.arg for one in (*function.args.posonlyargs, *function.args.args)]
        names = names[1:] if names[:1] == ["self"] else names
        for scope, call in _calls(self.tree, self.tree):
            if _name(call.func) != function.name:
                continue
            by_name = {one.arg: one.value for one in call.keywords}
            by_place = dict(zip(names, call.args, strict=False))
            if parameter in by_name or parameter in by_place:
                yield by_name.get(parameter) or by_place[parameter], scope

    def _returned(self, name: str, depth: int) -> list[str]:
        function = self.functions.get(name)
        if function is None:
            return []
        returns = [one.value for one in ast.walk(function) if isinstance(one, ast.Return) and one.value]
        return [text for value in returns for text in self.texts(value, function, depth)]

    def _items(self, node: ast.expr, scope: ast.AST, depth: int) -> list[str]:
        """The texts that the items of an expression can be, as far as they have words."""
        match node:
            case ast.ListComp(elt=item) | ast.GeneratorExp(elt=item):
                return _worded(self.texts(item, scope, depth))
            case ast.List(elts=items) | ast.Tuple(elts=items):
                return _worded([text for one in items for text in self.texts(one, scope, depth)])
            case ast.Call(func=ast.Name(id="list" | "sorted" | "set"), args=[inner, *_]):
                return self._items(inner, scope, depth)
            case ast.Call(func=function) if depth < _DEPTH:
                return self._yielded(_name(function), depth + 1)
            case ast.Name(id=name):
                assigned = [
                    one.value
                    for one in ast.walk(scope)
                    if isinstance(one, ast.Assign | ast.AugAssign) and _assigns(one, name)
                ]
                return [text for value in assigned for text in self._items(value, scope, depth)]
        return []

    def _yielded(self, name: str, depth: int) -> list[str]:
        function = self.functions.get(name)
        if function is None:
            return []
        found = []
        for one in ast.walk(function):
            if isinstance(one, ast.Yield) and one.value is not None:
                found += _worded(self.texts(one.value, function, depth))
            if isinstance(one, ast.YieldFrom | ast.Return) and one.value is not None:
                found += self._items(one.value, function, depth)
        return found


def _calls(node: ast.AST, scope: ast.AST) -> Iterator[tuple[ast.AST, ast.Call]]:
    """Every call below a node, with the function that it stands in."""
    for child in ast.iter_child_nodes(node):
        if isinstance(child, ast.Call):
            yield scope, child
        yield from _calls(child, child if isinstance(child, Function) else scope)


def _assigns(node: ast.Assign | ast.AugAssign, name: str) -> bool:
    targets = node.targets if isinstance(node, ast.Assign) else [node.target]
    return any(_name(target) == name for target in targets)


def _name(node: ast.AST) -> str:
    return node.attr if isinstance(node, ast.Attribute) else node.id if isinstance(node, ast.Name) else ""


def _worded(found: list[str]) -> list[str]:
    return [text for text in found if any(letter.isalpha() for letter in text)]


def _few(found: list[str]) -> list[str]:
    return list(dict.fromkeys(found))[:_MOST]


def _closed(text: str) -> str:
    while GAP + GAP in text:
        text = text.replace(GAP + GAP, GAP)
    return text
