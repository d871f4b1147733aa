"""What the API reference needs of docstrings and signatures that is written for IDEs."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any

import griffe

_ROLE = re.compile(r":(?:class|meth|func|mod|attr|data):`~?(?:[\w.]*\.)?(\w+)`")
_DOCUMENTED = re.compile(r"^:param (\w+):", re.MULTILINE)


class RstRoles(griffe.Extension):
    """Roles of reStructuredText (``:class:`~a.b.C```), which IDEs know, as Markdown."""

    def on_object(self, *, obj: griffe.Object, **_: Any) -> None:
        if obj.docstring:
            obj.docstring.value = _ROLE.sub(r"`\1`", obj.docstring.value)


class InheritedParameters(griffe.Extension):
    """Arguments that a class explains, and takes as ``**others`` for a base: with that base's types and defaults."""

    def on_package(self, *, pkg: griffe.Module, **_: Any) -> None:
        for class_ in _classes(pkg):
            init = class_.members.get("__init__")
            if not isinstance(init, griffe.Function) or class_.docstring is None:
                continue
            others = [each for each in init.parameters if each.kind is griffe.ParameterKind.var_keyword]
            if not others:
                continue
            for name in _DOCUMENTED.findall(class_.docstring.value):
                found = _of_a_base(class_, name)
                if name not in init.parameters and found is not None:
                    del init.parameters[others[0].name]
                    init.parameters.add(found)
                    init.parameters.add(others[0])


def _classes(module: griffe.Module) -> Iterator[griffe.Class]:
    for member in module.members.values():
        if isinstance(member, griffe.Module):
            yield from _classes(member)
        elif isinstance(member, griffe.Class):
            yield member


def _of_a_base(class_: griffe.Class, name: str) -> griffe.Parameter | None:
    for base in class_.mro():
        init = base.members.get("__init__")
        if isinstance(init, griffe.Function) and name in init.parameters:
            return init.parameters[name]
    return None
