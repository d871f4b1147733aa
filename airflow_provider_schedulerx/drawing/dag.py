"""The DAG of a run as an SVG, downwards: a node stands below everything that it comes after."""

from __future__ import annotations

import unicodedata
from collections import deque
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from html import escape

from airflow_provider_schedulerx.drawing.parts import tone

# Sizes in the drawing's own units, which are pixels at a zoom of 1.
_WIDTH, _HEIGHT, _GAP_X, _GAP_Y, _MARGIN = 190, 72, 24, 46, 12
#: Columns that fit a node's width; wide (East Asian) characters take two.
_COLUMNS = 20
#: A DAG that is broader keeps its size and scrolls, since scaled down to a screen nobody could read it.
_FITTING_BREADTH = 3


@dataclass(frozen=True, slots=True)
class Node:
    """A node as it is drawn.

    :ivar state: its state in capitals, which chooses the colour.
    :ivar after: indexes, in the same list, of the nodes that it comes after. Others are ignored.
    :ivar state_text: what is shown for the state, if not the state itself.
    :ivar detail: a third line, such as its duration.
    :ivar tooltip: shown when the pointer rests on it.
    """

    name: str
    state: str
    after: tuple[int, ...] = ()
    state_text: str | None = None
    detail: str = ""
    tooltip: str = ""


def draw(nodes: Sequence[Node]) -> str:
    """Return the drawing; an empty text if there are no nodes."""
    if not nodes:
        return ""
    before = [tuple(each for each in node.after if 0 <= each < len(nodes)) for node in nodes]
    ranks = _ranks(before)
    broadest = max(map(len, ranks))
    width = 2 * _MARGIN + broadest * _WIDTH + (broadest - 1) * _GAP_X
    height = 2 * _MARGIN + len(ranks) * _HEIGHT + (len(ranks) - 1) * _GAP_Y
    place: dict[int, tuple[float, float]] = {}
    for depth, rank in enumerate(ranks):
        used = len(rank) * _WIDTH + (len(rank) - 1) * _GAP_X
        for number, index in enumerate(rank):
            x = (width - used) / 2 + number * (_WIDTH + _GAP_X)
            place[index] = (x, _MARGIN + depth * (_HEIGHT + _GAP_Y))
    edges = "".join(
        _edge(place[source], place[index]) for index, sources in enumerate(before) for source in sources
    )
    boxes = "".join(_box(node, place[index]) for index, node in enumerate(nodes))
    fit = "fits" if broadest <= _FITTING_BREADTH else "broad"
    return (
        f'<svg class="dag {fit}" viewBox="0 0 {width:g} {height:g}" width="{width:g}" role="img" '
        'aria-label="DAG of the run"><defs><marker id="arrow" viewBox="0 0 8 8" refX="7" refY="4" markerWidth="7" '
        'markerHeight="7" orient="auto"><path d="M0 0L8 4L0 8z" class="arrow"/></marker></defs>'
        f"{edges}{boxes}</svg>"
    )


def _ranks(before: Sequence[tuple[int, ...]]) -> list[list[int]]:
    """Indexes by depth: the longest way to a node from one without predecessors.

    Nodes on a cycle, which no workflow has but an edited snapshot may, come last.
    """
    behind: list[list[int]] = [[] for _ in before]
    missing = [len(sources) for sources in before]
    for index, sources in enumerate(before):
        for source in sources:
            behind[source].append(index)
    depth = [0] * len(before)
    ready = deque(index for index, count in enumerate(missing) if not count)
    while ready:
        index = ready.popleft()
        for each in behind[index]:
            depth[each] = max(depth[each], depth[index] + 1)
            missing[each] -= 1
            if not missing[each]:
                ready.append(each)
    last = 1 + max((depth[index] for index, count in enumerate(missing) if not count), default=-1)
    for index, count in enumerate(missing):
        if count:
            depth[index] = last
    ranks: list[list[int]] = [[] for _ in range(1 + max(depth))]
    for index, each in enumerate(depth):
        ranks[each].append(index)
    return ranks


def _edge(source: tuple[float, float], target: tuple[float, float]) -> str:
    from_x, from_y = source[0] + _WIDTH / 2, source[1] + _HEIGHT
    to_x, to_y = target[0] + _WIDTH / 2, target[1]
    middle = (from_y + to_y) / 2
    return (
        f'<path class="edge" d="M{from_x:g} {from_y:g}C{from_x:g} {middle:g} {to_x:g} {middle:g} {to_x:g} {to_y:g}" '
        'marker-end="url(#arrow)"/>'
    )


def _box(node: Node, place: tuple[float, float]) -> str:
    x, y = place
    centre = x + _WIDTH / 2
    lines = (
        ("name", 24, shortened(node.name, _COLUMNS)),
        ("state-text", 44, node.state if node.state_text is None else node.state_text),
        ("detail", 62, shortened(node.detail, _COLUMNS + 6)),
    )
    texts = "".join(
        f'<text class="{name}" x="{centre:g}" y="{y + down:g}">{escape(text)}</text>'
        for name, down, text in lines
        if text
    )
    return (
        f'<g class="node {tone(node.state)}"><title>{escape(node.tooltip or node.name)}</title>'
        f'<rect x="{x:g}" y="{y:g}" width="{_WIDTH}" height="{_HEIGHT}" rx="8"/>{texts}</g>'
    )


def shortened(text: str, columns: int) -> str:
    """Return as much of a text as fits, with an ellipsis if some is left out."""
    if sum(_columns(text)) <= columns:
        return text
    kept, used = "", 1
    for character, width in zip(text, _columns(text), strict=True):
        if used + width > columns:
            break
        kept, used = kept + character, used + width
    return f"{kept}…"


def _columns(text: str) -> Iterator[int]:
    return (2 if unicodedata.east_asian_width(character) in "WF" else 1 for character in text)
