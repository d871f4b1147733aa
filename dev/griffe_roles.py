"""Roles of reStructuredText in docstrings (``:class:`~a.b.C```), which IDEs know, as Markdown for the API reference."""

from __future__ import annotations

import re
from typing import Any

import griffe

_ROLE = re.compile(r":(?:class|meth|func|mod|attr|data):`~?(?:[\w.]*\.)?(\w+)`")


class RstRoles(griffe.Extension):
    def on_object(self, *, obj: griffe.Object, **_: Any) -> None:
        if obj.docstring:
            obj.docstring.value = _ROLE.sub(r"`\1`", obj.docstring.value)
