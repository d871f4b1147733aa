"""What ``**kwargs`` of an ``__init__`` hands on to a class of this package, as arguments of its own for the API reference."""

from __future__ import annotations

from typing import Any

import griffe

_PACKAGE = "airflow_provider_schedulerx"
#: What a class fills in for its kind of run, under names such as ``workflow_id``.
_FILLED_IN = ("definition_id", "instance_id")


class InheritedArguments(griffe.Extension):
    def on_package(self, *, pkg: griffe.Module, **_: Any) -> None:
        if pkg.name == _PACKAGE:
            for cls in _classes(pkg):
                _complete(cls)


def _classes(module: griffe.Module) -> list[griffe.Class]:
    found = [each for each in module.members.values() if isinstance(each, griffe.Class)]
    for each in module.members.values():
        if isinstance(each, griffe.Module):
            found += _classes(each)
    return found


def _complete(cls: griffe.Class) -> None:
    """Put the arguments of the classes above before the ``**kwargs`` that take them."""
    init = cls.members.get("__init__")
    if not isinstance(init, griffe.Function):
        return
    rest = next((it for it in init.parameters if it.kind is griffe.ParameterKind.var_keyword), None)
    if rest is None:
        return
    for base in cls.mro():
        above = base.members.get("__init__")
        if not isinstance(above, griffe.Function):
            continue
        for argument in above.parameters:
            if argument.kind is not griffe.ParameterKind.keyword_only or argument.name in _FILLED_IN:
                continue
            if argument.name not in init.parameters:
                # The last is the rest.
                init.parameters._params.insert(-1, argument)
