"""What nobody outside Alibaba Cloud knows of the service: every open behaviour, as a declared choice.

The documentation leaves each behaviour of :mod:`airflow_provider_schedulerx.emulator.behaviours` open. A
:class:`Profile` picks one value for each, so that "unknown" is something that can be run: what a client does has to be right under all of them.

A profile is written as a name (``hostile``), as choices (``list_length=300,when_full=queue``), or as both
(``hostile,list_length=300``). What is not chosen has the value of the named profile, or of ``documented``.
"""

from __future__ import annotations

import difflib
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field

from airflow_provider_schedulerx.emulator.behaviours import BEHAVIOURS, PROFILES


class ProfileError(ValueError):
    """There is no such profile, behaviour or value; the message lists those that exist."""


DEFAULT = "documented"


@dataclass(frozen=True, eq=False)
class Profile(Mapping[str, str]):
    """One value for every behaviour: ``profile["when_full"]``.

    :param chosen: values that differ from the defaults.
    :raises ProfileError: if there is no such behaviour or value.
    """

    chosen: Mapping[str, str] = field(default_factory=dict)

    def __post_init__(self) -> None:
        for key, value in self.chosen.items():
            if key not in BEHAVIOURS:
                raise ProfileError(_unknown("behaviour", key, BEHAVIOURS))
            if value not in BEHAVIOURS[key].names:
                raise ProfileError(_unknown(f"value of {key}", str(value), BEHAVIOURS[key].names))

    def __getitem__(self, key: str) -> str:
        return self.chosen.get(key, BEHAVIOURS[key].default)

    def __iter__(self) -> Iterator[str]:
        return iter(BEHAVIOURS)

    def __len__(self) -> int:
        return len(BEHAVIOURS)

    def __str__(self) -> str:
        """As :func:`parse` reads it."""
        values = dict(self)
        for name, chosen in PROFILES.items():
            if values == {**dict(Profile()), **chosen}:
                return name
        return ",".join(f"{key}={value}" for key, value in self.items() if value != BEHAVIOURS[key].default)


def parse(text: str) -> Profile:
    """Read ``NAME``, ``key=value,...`` or ``NAME,key=value,...``.

    :raises ProfileError: if there is no such profile, behaviour or value; lists the known ones.
    """
    chosen: dict[str, str] = {}
    for number, part in enumerate(part.strip() for part in text.split(",")):
        key, separator, value = (piece.strip() for piece in part.partition("="))
        if separator:
            chosen[key] = value
        elif number:
            raise ProfileError(f"{part!r} in profile {text!r} is not key=value; a name may only come first")
        elif part in PROFILES:
            chosen.update(PROFILES[part])
        else:
            raise ProfileError(_unknown("profile", part, PROFILES))
    return Profile(chosen)


def describe() -> str:
    """Every behaviour with its values, for people."""
    lines = [f"Profiles: {', '.join(PROFILES)}"]
    for behaviour in BEHAVIOURS.values():
        lines += ["", f"{behaviour.key}: {behaviour.question}"]
        lines += [
            f"  {value.name + (' *' if value.name == behaviour.default else ''):<16}[{value.source}] {value.meaning}"
            for value in behaviour.values
        ]
        lines.append(f"  * because {behaviour.why}")
    return "\n".join(lines)


def _unknown(what: str, name: str, known: Iterable[str]) -> str:
    names = list(known)
    nearest = difflib.get_close_matches(name, names, n=1, cutoff=0.4)
    hint = f"; did you mean {nearest[0]!r}?" if nearest else ";"
    return f"there is no {what} {name!r}{hint} known: {', '.join(names)}"
