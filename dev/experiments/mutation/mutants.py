"""Makes the mutants of a module: with the mutations of mutmut, and three of our own."""

from __future__ import annotations

import hashlib
import re
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import libcst as cst
import libcst.matchers as m
from libcst.metadata import MetadataWrapper, PositionProvider
from mutmut.mutation.mutators import mutation_operators, operator_arg_removal, operator_string

MODULE_LEVEL = "<module>"

_LOG = m.Call(
    func=m.Attribute(
        value=m.Name("log") | m.Name("_log") | m.Attribute(attr=m.Name("log") | m.Name("_log")),
    )
)
#: A number with a name, such as a limit: another would do as well, and tests use the name.
_CHOICE = m.Assign(
    targets=[m.AssignTarget(m.Name(m.MatchRegex("_?[A-Z][A-Z_]+")))], value=m.Integer() | m.Float()
)
_LEFT_OUT = (
    m.Expr(_LOG)
    | _LOG
    | _CHOICE
    | m.ClassDef(bases=[m.Arg(m.Name("Enum"))])
    | m.If(test=m.Name("TYPE_CHECKING"))
    | m.Call(func=m.Name("dataclass"))
    | m.Call(func=m.Name("isinstance") | m.Name("len"))  # mutmut leaves their arguments out, too
)


@dataclass(frozen=True, slots=True)
class Mutant:
    """One change of a module.

    :ivar function: the function or method that is changed; :data:`MODULE_LEVEL` outside of any.
    :ivar change: what stands there, and what instead; with a number if the function has more of the same.
    :ivar lines: where, in the module.
    :ivar source: the changed module.
    :ivar key: equal only for the same change of the same text of the function.
    """

    path: str
    function: str
    change: str
    lines: range
    source: str
    key: str


def mutants_of(path: Path) -> list[Mutant]:
    """All mutants of a module, in the order of its lines.

    Left out is what only people read (log lines, and texts with a space in them: tests hold what they say, not how they
    say it), and what is a free choice (named numbers, values of an Enum).
    """
    wrapper = MetadataWrapper(cst.parse_module(path.read_text("utf-8")))
    visitor = _Visitor()
    wrapper.visit(visitor)
    seen: Counter[tuple[str, str]] = Counter()
    mutants = []
    for function, text, lines, before, after in visitor.found:
        change = f"{_flat(before)} -> {_flat(after)}"
        seen[function, change] += 1
        if (count := seen[function, change]) > 1:
            change += f" (#{count})"
        changed = cst.ensure_type(wrapper.module.deep_replace(before, after), cst.Module).code
        key = hashlib.sha256("\0".join((str(path), function, text, change)).encode()).hexdigest()
        mutants.append(Mutant(str(path), function, change, lines, changed, key))
    return mutants


class _Visitor(cst.CSTVisitor):
    METADATA_DEPENDENCIES = (PositionProvider,)

    def __init__(self) -> None:
        super().__init__()
        #: Function, its text, lines, the node before and after.
        self.found: list[tuple[str, str, range, cst.CSTNode, cst.CSTNode]] = []
        #: The statements around, with their first lines, and the functions and classes around, with their texts.
        self._open: list[tuple[cst.CSTNode, int]] = []
        self._functions: list[tuple[str, str]] = []

    def on_visit(self, node: cst.CSTNode) -> bool:
        if _is_left_out(node):
            return False
        position = self.get_metadata(PositionProvider, node, None)
        if position is None:
            return True
        if isinstance(node, cst.BaseStatement | cst.BaseSmallStatement):
            self._open.append((node, position.start.line))
        if isinstance(node, cst.ClassDef | cst.FunctionDef):
            self._functions.append((node.name.value, _text(node)))
        # Lines that are run by then at the latest: from the start of the statement to the end of the change.
        end = (
            self.get_metadata(PositionProvider, node.test)
            if isinstance(node, cst.If | cst.While)
            else position
        )
        begin = min(self._open[-1][1] if self._open else 1, position.start.line)  # decorators stand before it
        lines = range(begin, end.end.line + 1)
        function = ".".join(name for name, _ in self._functions) or MODULE_LEVEL
        text = self._functions[-1][1] if self._functions else _text(node)
        self.found += [(function, text, lines, node, other) for other in _changed(node)]
        return True

    def on_leave(self, original_node: cst.CSTNode) -> None:
        if not self._open or self._open[-1][0] is not original_node:
            return
        self._open.pop()
        if isinstance(original_node, cst.ClassDef | cst.FunctionDef):
            self._functions.pop()


def _changed(node: cst.CSTNode) -> Iterator[cst.CSTNode]:
    for kind, operator in mutation_operators:
        if isinstance(node, kind):
            for other in operator(node):
                # One wrong letter more or less is the same mistake.
                if operator is operator_string and "XX" not in _text(other):
                    continue
                # A position left out is a TypeError, which any test notices.
                if operator is operator_arg_removal and _positions(other) < _positions(node):
                    continue
                yield other
    if isinstance(node, cst.If | cst.While):
        yield node.with_changes(test=_negated(node.test))
    if isinstance(node, cst.Expr) and not isinstance(node.value, cst.BaseString):
        yield cst.Pass()
    if isinstance(node, cst.Return) and node.value and not m.matches(node.value, m.Name("None")):
        yield node.with_changes(value=cst.Name("None"), whitespace_after_return=cst.SimpleWhitespace(" "))


def _positions(call: cst.CSTNode) -> int:
    return sum(arg.keyword is None for arg in cst.ensure_type(call, cst.Call).args)


def _negated(test: cst.BaseExpression) -> cst.BaseExpression:
    inner = test.with_changes(lpar=[cst.LeftParen()], rpar=[cst.RightParen()])
    return cst.UnaryOperation(cst.Not(), inner)


def _is_left_out(node: cst.CSTNode) -> bool:
    if isinstance(node, cst.SimpleString):
        return node.value.startswith(('"""', "'''")) or bool(re.search(r"\s", node.value))
    return isinstance(node, cst.Annotation | cst.Import | cst.ImportFrom) or m.matches(node, _LEFT_OUT)


def _text(node: cst.CSTNode) -> str:
    return cst.Module([]).code_for_node(node)


def _flat(node: cst.CSTNode) -> str:
    """One line; of a statement with a body, its first."""
    if isinstance(node, cst.If | cst.While):
        word = "if" if isinstance(node, cst.If) else "while"
        return f"{word} {_flat(node.test)}"
    return " ".join(_text(node).split())
