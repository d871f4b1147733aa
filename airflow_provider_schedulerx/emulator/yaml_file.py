"""Reads a YAML file in such a way that an error can name the file, the line, the key and what is expected there."""

from __future__ import annotations

import datetime
import math
from collections.abc import Hashable, Iterator
from pathlib import Path
from typing import Any

import yaml

#: What people call the types of YAML.
_NAMES: dict[type, str] = {
    str: "text",
    int: "a whole number",
    float: "a number",
    bool: "true or false",
    list: "a list",
    dict: "a mapping",
    type(None): "nothing",
    datetime.date: "a date",
    datetime.datetime: "a date",
}


class DefinitionError(ValueError):
    """The file is wrong; the message says where, and what is expected."""


class _Mapping(dict[Any, Any]):
    """A mapping that remembers where it stands: ``lines`` by key, and its own ``line``."""

    line: int
    lines: dict[Any, int]


class _Loader(yaml.SafeLoader):
    """A safe loader whose mappings are of :class:`_Mapping`, and which refuses a key that is given twice."""

    def construct_lined(self, node: yaml.MappingNode) -> Iterator[_Mapping]:
        made = _Mapping()
        made.line = node.start_mark.line + 1
        made.lines = {}
        yield made
        own = {id(key_node) for key_node, _ in node.value}
        given = set()
        self.flatten_mapping(node)
        for key_node, value_node in node.value:
            key = self.construct_object(key_node, deep=True)
            # What "<<" brings comes first, and may be given again.
            is_own = id(key_node) in own
            if not isinstance(key, Hashable) or (is_own and key in given):
                problem = f"key {key!r} is given twice" if isinstance(key, Hashable) else "a key must be text"
                raise yaml.constructor.ConstructorError(None, None, problem, key_node.start_mark)
            if is_own:
                given.add(key)
            made.lines[key] = key_node.start_mark.line + 1
            made[key] = self.construct_object(value_node, deep=True)


_Loader.add_constructor(yaml.resolver.BaseResolver.DEFAULT_MAPPING_TAG, _Loader.construct_lined)


def read(path: Path) -> Any:
    """What a file holds.

    :raises DefinitionError: if it cannot be read, or is not YAML.
    """
    try:
        return yaml.load(path.read_text(encoding="utf-8"), _Loader)  # noqa: S506 - a kind of SafeLoader
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        where = f"{path}, line {mark.line + 1}, column {mark.column + 1}" if mark else str(path)
        raise DefinitionError(f"{where}: {error.problem or error.context}") from error
    except (OSError, UnicodeDecodeError, yaml.YAMLError) as error:
        raise DefinitionError(f"{path}: {error}") from error


class Place:
    """A mapping in the file, which knows where it stands and refuses keys that nobody asked for.

    :param name: the way to it, such as ``workflows[0].nodes[1]``; empty for the file as a whole.
    :param value: what stands there.
    :param file: path of the file; empty if what is read came by another way.
    """

    def __init__(self, name: str, value: Any, file: str = "", line: int | None = None) -> None:
        self.name = name
        self._file = file
        self._line = getattr(value, "line", line)
        self.value: dict[str, Any] = {}
        if not isinstance(value, dict):
            raise self.error(None, f"must be a mapping, not {_shown(value)}")
        self.value = value
        self._asked: list[str] = []

    def error(self, key: str | None, text: str, index: int | None = None) -> DefinitionError:
        """An error at a key, at an item of its list, or at the mapping as a whole. The caller raises it."""
        line = self._line_of(key) if key is not None else self._line
        where = ", ".join([*([self._file] if self._file else []), *([f"line {line}"] if line else [])])
        what = self._path(key, index) or "the file"
        return DefinitionError(f"{where}: {what} {text}" if where else f"{what} {text}")

    def get(
        self, key: str, kind: type | tuple[type, ...], *default: Any, at_least: float | None = None
    ) -> Any:
        """A value.

        :param kind: the type or types that it may have.
        :param default: what a missing one is; without it, the key is required.
        :param at_least: the lowest number that makes sense.
        :raises DefinitionError: if it is missing, or is not such a value.
        """
        self._asked.append(key)
        value = self.value.get(key)
        if value is None:
            if default:
                return default[0]
            raise self.error(key, f"is missing; it must be {_kinds(kind)}")
        self._check(key, value, kind)
        if at_least is not None and not (at_least <= value < math.inf):
            raise self.error(key, f"must be at least {at_least}, not {value}")
        return value

    def text(self, key: str) -> str:
        """A text that is required; a number counts as one."""
        return str(self.get(key, (str, int)))

    def texts(self, key: str, default: tuple[str, ...] = ()) -> tuple[str, ...]:
        """A list of texts, or one text; numbers count as texts."""
        value = self.get(key, (str, int, list), list(default))
        values = value if isinstance(value, list) else [value]
        for index, each in enumerate(values):
            self._check(key, each, (str, int), index)
        return tuple(str(each) for each in values)

    def items(self, key: str) -> Iterator[Place]:
        """The mappings of a list."""
        for index, item in enumerate(self.get(key, list, [])):
            yield Place(self._path(key, index), item, self._file, self._line_of(key))

    def done(self) -> None:
        """:raises DefinitionError: if there is a key that was not asked for."""
        for key in self.value:
            if key not in self._asked:
                raise self.error(str(key), f"is not a known key; known are {', '.join(self._asked)}")

    def _check(self, key: str, value: Any, kind: type | tuple[type, ...], index: int | None = None) -> None:
        kinds = kind if isinstance(kind, tuple) else (kind,)
        # To Python, true is a number.
        if not isinstance(value, kinds) or (isinstance(value, bool) and bool not in kinds):
            hint = "; put it in quotes" if str in kinds and not isinstance(value, list | dict) else ""
            raise self.error(key, f"must be {_kinds(kind)}, not {_shown(value)}{hint}", index)

    def _line_of(self, key: str) -> int | None:
        line: int | None = getattr(self.value, "lines", {}).get(key, self._line)
        return line

    def _path(self, key: str | None, index: int | None = None) -> str:
        item = "" if index is None else f"[{index}]"
        return ".".join(part for part in (self.name, f"{key or ''}{item}") if part)


def _kinds(kind: type | tuple[type, ...]) -> str:
    kinds = kind if isinstance(kind, tuple) else (kind,)
    if float in kinds:
        kinds = tuple(each for each in kinds if each is not int)
    if str in kinds:
        # A number is taken for text, too.
        kinds = tuple(each for each in kinds if each is not int)
    return " or ".join(_NAMES[each] for each in kinds)


def _shown(value: Any) -> str:
    if isinstance(value, list | dict) or value is None:
        return _NAMES[list if isinstance(value, list) else dict if isinstance(value, dict) else type(None)]
    if isinstance(value, bool):
        return str(value).lower()
    return f"the date {value}" if isinstance(value, datetime.date) else repr(value)
