"""The drawing: places, edges, texts, and what an edited snapshot must not do to it."""

from __future__ import annotations

import time
import xml.etree.ElementTree as ET

import pytest
from hypothesis import given
from hypothesis import strategies as st

from airflow_provider_schedulerx.drawing import Node, badge, draw
from airflow_provider_schedulerx.drawing.dag import shortened


def boxes(svg: str) -> dict[str, tuple[float, float]]:
    found = {}
    for group in ET.fromstring(svg).findall("g"):
        rect = group.find("rect")
        assert rect is not None
        found[group.findtext("title") or ""] = (float(rect.get("x", "")), float(rect.get("y", "")))
    return found


def test_a_node_stands_below_everything_it_comes_after() -> None:
    places = boxes(
        draw(
            [
                Node("load", "WAITING", after=(1, 2)),
                Node("extract", "SUCCESS"),
                Node("check", "RUNNING", after=(1,)),
            ]
        )
    )
    assert places["extract"][1] < places["check"][1] < places["load"][1]


def test_states_are_classes_and_text_never_only_colour() -> None:
    svg = draw([Node("a", "RUNNING"), Node("b", "", state_text="was RUNNING")])
    first, second = ET.fromstring(svg).findall("g")
    assert first.get("class") == "node is-RUNNING"
    assert "RUNNING" in [text.text for text in first.findall("text")]
    assert second.get("class") == "node is-", "a state of the past has no colour"
    assert "was RUNNING" in [text.text for text in second.findall("text")]


def test_no_style_is_inline_since_the_policy_forbids_it() -> None:
    assert "style=" not in draw([Node("a", "RUNNING")]) + badge("RUNNING")


@pytest.mark.parametrize("state", ["RUNNING' onload='alert(1)", "<script>", 'x" onclick="y'])
def test_a_state_cannot_leave_its_attribute(state: str) -> None:
    (group,) = ET.fromstring(draw([Node("a", state)])).findall("g")
    assert set(group.attrib) == {"class"}
    assert ET.fromstring(badge(state)).attrib.keys() == {"class"}


def test_a_cycle_is_drawn_last_and_ends() -> None:
    places = boxes(
        draw([Node("a", "RUNNING", after=(1,)), Node("b", "RUNNING", after=(0,)), Node("c", "READY")])
    )
    assert places["c"][1] < places["a"][1] == places["b"][1]


@pytest.mark.parametrize(
    ("name", "shown"),
    [
        ("nightly-etl", "nightly-etl"),
        ("a" * 30, "a" * 19 + "…"),
        ("数据清洗任务每日汇总报表", "数据清洗任务每日汇…"),
    ],
)
def test_names_fit_their_box(name: str, shown: str) -> None:
    assert shortened(name, 20) == shown


def test_a_chain_of_five_hundred_and_as_many_side_by_side_are_drawn_at_once() -> None:
    began = time.process_time()
    chain = draw([Node(f"n{i}", "WAITING", after=(i - 1,)) for i in range(500)])
    broad = draw([Node(f"n{i}", "WAITING") for i in range(500)])
    assert time.process_time() - began < 2
    assert len(boxes(chain)) == len(boxes(broad)) == 500
    assert 'class="dag fits"' in chain
    assert 'class="dag broad"' in broad, "scaled down to a screen nobody could read it"


@given(
    st.lists(
        st.builds(
            Node,
            st.text(st.characters(codec="utf-8", exclude_categories=["Cc", "Cs"])),
            st.text("AB<&\"'_"),
            st.lists(st.integers(-3, 12), max_size=4).map(tuple),
        ),
        min_size=1,
        max_size=10,
    )
)
def test_anything_is_drawn_as_well_formed_xml(nodes: list[Node]) -> None:
    tree = ET.fromstring(draw(nodes))
    assert len(tree.findall("g")) == len(nodes)
