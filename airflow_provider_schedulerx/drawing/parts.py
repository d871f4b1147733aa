"""States and tables as HTML, and the stylesheet that everything drawn here is made for."""

from __future__ import annotations

import re
from collections.abc import Iterable
from html import escape
from pathlib import Path

#: Colours, light and dark. All of it are classes: a Content-Security-Policy may forbid inline styles.
STYLESHEET = Path(__file__).with_name("run.css")

_NOT_IN_A_CLASS = re.compile(r"[^A-Z_]")


def tone(state: str) -> str:
    """Return the CSS class for a state, of which the stylesheet colours those it knows.

    :param state: such as ``RUNNING``; anything else is allowed, and stays uncoloured.
    """
    return f"is-{_NOT_IN_A_CLASS.sub('', state.upper())}"


def badge(state: str, text: str | None = None) -> str:
    """Return a state as a coloured label.

    :param text: what it says, if not the state itself.
    """
    return f'<span class="state {tone(state)}">{escape(state if text is None else text)}</span>'


def table(head: Iterable[str], rows: Iterable[Iterable[str]]) -> str:
    """Return a table that scrolls sideways by itself where it is too broad.

    :param head: texts.
    :param rows: cells as HTML.
    """
    names = "".join(f"<th scope='col'>{escape(name)}</th>" for name in head)
    body = "".join(f"<tr>{''.join(f'<td>{cell}</td>' for cell in row)}</tr>" for row in rows)
    return f'<div class="scroll" tabindex="0"><table><thead><tr>{names}</tr></thead><tbody>{body}</tbody></table></div>'
