"""What names of Python sources stand for, by their syntax trees: aliases of annotations, lists, classes with fields."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path
from typing import Any

__all__ = ["SourceNames"]


class SourceNames:
    """What names of the sources stand for: annotations' aliases, lists, classes with their fields."""

    def __init__(self, files: Iterator[Path]) -> None:
        self.values: dict[str, ast.expr] = {}
        self.classes: dict[str, ast.ClassDef] = {}
        for path in files:
            for node in _flat(ast.parse(path.read_text("utf-8")).body):
                if isinstance(node, ast.ClassDef):
                    self.classes.setdefault(node.name, node)
                elif isinstance(node, ast.Assign) and isinstance(node.targets[0], ast.Name):
                    self.values.setdefault(node.targets[0].id, node.value)
                elif isinstance(node, ast.AnnAssign) and isinstance(node.target, ast.Name) and node.value is not None:
                    self.values.setdefault(node.target.id, node.value)

    def constant(self, node: ast.AST | None) -> Any:
        """Value of an expression of constants and known names; None where the sources do not say."""
        if isinstance(node, ast.Constant):
            return node.value
        if isinstance(node, ast.Name) and node.id in self.values:
            return self.constant(self.values[node.id])
        return self._put_together(node)

    def _put_together(self, node: ast.AST | None) -> Any:
        if isinstance(node, ast.List | ast.Tuple | ast.Set):
            items = [self.constant(item) for item in node.elts]
            return None if any(item is None for item in items) else items
        if isinstance(node, ast.BinOp) and isinstance(node.op, ast.Add):
            left, right = self.constant(node.left), self.constant(node.right)
            return left + right if left is not None and right is not None else None
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Name):
            if node.func.id in {"list", "set", "sorted", "frozenset"} and node.args:
                return self.constant(node.args[0])
            if node.func.id == "get_args" and node.args:
                return next((kind[1] for kind in self.kinds(node.args[0]) if kind[0] == "literal"), None)
        return None

    def kinds(self, node: ast.expr) -> list[tuple[str, Any]]:
        """What an annotation allows: (kind, detail) for each member of a union, aliases followed."""
        if isinstance(node, ast.Constant):
            return [("none", None)] if node.value is None else self.kinds(_annotation(str(node.value)))
        if isinstance(node, ast.BinOp):
            return [*self.kinds(node.left), *self.kinds(node.right)]
        if isinstance(node, ast.Name):
            return self._name(node.id)
        if isinstance(node, ast.Subscript):
            return self._subscript(node)
        return [("other", None)]

    def _name(self, name: str) -> list[tuple[str, Any]]:
        if name in {"int", "float", "str", "bool", "dict", "list", "tuple", "set"}:
            return [(name, None)]
        if name in self.values:
            return self.kinds(self.values[name])
        bases = [base.id for base in self._class_bases(name) if isinstance(base, ast.Name)]
        return [("dict", None)] if "dict" in bases else [("record" if self._is_record(name) else "other", None)]

    def _subscript(self, node: ast.Subscript) -> list[tuple[str, Any]]:
        head = node.value.id if isinstance(node.value, ast.Name) else ast.unparse(node.value)
        parts = list(node.slice.elts) if isinstance(node.slice, ast.Tuple) else [node.slice]
        if head == "Literal":
            return [("literal", [option for part in parts for option in self._options(part)])]
        if head in {"Annotated", "A", "SkipValidation", "InitVar"}:
            return self.kinds(parts[0])
        if head == "Optional":
            return [*self.kinds(parts[0]), ("none", None)]
        if head == "Union":
            return [kind for part in parts for kind in self.kinds(part)]
        if head.lower() in {"list", "tuple", "set", "dict"}:
            return [(head.lower(), parts)]
        return [("other", None)]

    def _options(self, part: ast.expr) -> list[Any]:
        """Options of a literal, those of literals inside it too."""
        if isinstance(part, ast.Constant):
            return [part.value]
        return next((list(detail) for kind, detail in self.kinds(part) if kind == "literal"), [])

    def _class_bases(self, name: str) -> list[ast.expr]:
        return self.classes[name].bases if name in self.classes else []

    def _is_record(self, name: str) -> bool:
        decorators = self.classes[name].decorator_list if name in self.classes else []
        return any(ast.unparse(one).split("(")[0] in {"config", "dataclass"} for one in decorators)

    def fields(self, name: str) -> dict[str, ast.expr]:
        """Field to annotation, of a class and the classes that it derives from."""
        found: dict[str, ast.expr] = {}
        for base in self._class_bases(name):
            if isinstance(base, ast.Name):
                found |= self.fields(base.id)
        if name in self.classes:
            found |= {
                node.target.id: node.annotation
                for node in self.classes[name].body
                if isinstance(node, ast.AnnAssign) and isinstance(node.target, ast.Name)
            }
        return found


def _flat(body: list[ast.stmt]) -> Iterator[ast.stmt]:
    """Statements of a module; of `if TYPE_CHECKING` what holds at run time."""
    for node in body:
        if isinstance(node, ast.If):
            yield from _flat(node.orelse if ast.unparse(node.test) == "TYPE_CHECKING" else [*node.body, *node.orelse])
        else:
            yield node


def _annotation(text: str) -> ast.expr:
    return ast.parse(text, mode="eval").body
