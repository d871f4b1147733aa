"""The file of workflows: what is wrong in it is named by file, line, key and what is expected there."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from airflow_provider_schedulerx.emulator import definitions
from airflow_provider_schedulerx.emulator.yaml_file import DefinitionError

FILE = """\
accounts:
  - {access_key_id: emulator, access_key_secret: emulator-secret}
namespaces:
  - id: n
    groups: [g]
workflows:
  - id: 7
    name: orders
    namespace: n
    group: g
    max_concurrency: 5
    nodes:
      - {name: extract, duration: 2}
      - name: load
        after: extract
        duration: 1
        outcome: [failed, success]
"""


@pytest.mark.parametrize(
    ("before", "after", "says"),
    [
        (
            "duration: 1",
            "duration: 2 s",
            "line 16: workflows[0].nodes[1].duration must be a number, not '2 s'",
        ),
        ("duration: 1", "duration: -1", "line 16: workflows[0].nodes[1].duration must be at least 0, not -1"),
        (
            "duration: 1",
            "duration: .inf",
            "line 16: workflows[0].nodes[1].duration must be at least 0, not inf",
        ),
        (
            "duration: 2}",
            "duration: yes}",
            "line 13: workflows[0].nodes[0].duration must be a number, not true",
        ),
        ("id: 7", "id: seven", "line 7: workflows[0].id must be a whole number, not 'seven'"),
        ("id: 7", "ID: 7", "line 7: workflows[0].id is missing; it must be a whole number"),
        (
            "max_concurrency: 5",
            "max_concurrency: 0",
            "line 11: workflows[0].max_concurrency must be at least 1, not 0",
        ),
        (
            "max_concurrency: 5",
            "concurrency: 5",
            "line 11: workflows[0].concurrency is not a known key; known are id, nodes, name,",
        ),
        (
            "namespace: n",
            "namespace: m",
            "line 9: workflows[0].namespace 'm' is not the id of one of the namespaces",
        ),
        ("group: g", "group: h", "line 10: workflows[0].group 'h' is not in the groups of namespace 'n'"),
        ("groups: [g]", "groups: [[g]]", "line 5: namespaces[0].groups[0] must be text, not a list"),
        (
            "groups: [g]",
            "groups: {g: 1}",
            "line 5: namespaces[0].groups must be text or a list, not a mapping",
        ),
        (
            "after: extract",
            "after: nobody",
            "line 15: workflows[0].nodes[1].after 'nobody' is not a node above",
        ),
        (
            "outcome: [failed, success]",
            "outcome: [failed, fine]",
            "line 17: workflows[0].nodes[1].outcome must be of success, failed, killed, rejected, partial_failed, skipped, or a number, not 'fine'",
        ),
        (
            "outcome: [failed, success]",
            "outcome: []",
            "line 17: workflows[0].nodes[1].outcome must have at least one",
        ),
        ("name: load", "name: extract", "line 14: workflows[0].nodes[1].name 'extract' is used twice"),
        (
            "name: load",
            "name: 2024-01-01",
            "line 14: workflows[0].nodes[1].name must be text, not the date 2024-01-01",
        ),
        (
            "name: load",
            "name: yes",
            "line 14: workflows[0].nodes[1].name must be text, not true; put it in quotes",
        ),
        ("name: orders", "name: [orders", "line 9, column 14: "),
        ("name: orders", "id: 8", "line 8, column 5: key 'id' is given twice"),
        ("name: orders", "[1]: 8", "line 8, column 5: a key must be text"),
        ("  - id: n\n    groups: [g]", "  - n", "line 3: namespaces[0] must be a mapping, not 'n'"),
        (
            "accounts:",
            "account:",
            "line 1: account is not a known key; known are accounts, namespaces, workflows",
        ),
        (FILE, "", "the file must be a mapping, not nothing"),
        (FILE, "- 1", "the file must be a mapping, not a list"),
        (FILE, "\x00", "special characters are not allowed"),
    ],
)
def test_an_error_names_its_place(before: str, after: str, says: str, tmp_path: Path) -> None:
    file = tmp_path / "workflows.yaml"
    assert before in FILE
    file.write_text(FILE.replace(before, after))
    with pytest.raises(DefinitionError) as error:
        definitions.load(file)
    text = str(error.value)
    assert text.startswith(str(file))
    assert says in text, text


@pytest.mark.parametrize(
    ("data", "says"),
    [
        ({"accounts": [{}]}, "accounts[0].access_key_id is missing; it must be text"),
        ({"workflows": 5}, "workflows must be a list, not 5"),
        ({"workflows": [{"id": 1}]}, "workflows[0].nodes must have at least one node"),
        ([], "the file must be a mapping, not a list"),
    ],
)
def test_what_came_by_another_way_has_no_line(data: Any, says: str) -> None:
    with pytest.raises(DefinitionError) as error:
        definitions.parse(data)
    assert str(error.value).startswith(says)


def test_the_file_of_this_test_is_right(tmp_path: Path) -> None:
    file = tmp_path / "workflows.yaml"
    file.write_text(FILE)
    (workflow,) = definitions.load(file).workflows.values()
    assert [node.name for node in workflow.nodes.values()] == ["extract", "load"]


def test_anchors_and_merged_keys_work(tmp_path: Path) -> None:
    file = tmp_path / "workflows.yaml"
    file.write_text(
        FILE.replace("- {name: extract, duration: 2}", "- &quick {name: extract, duration: 2}").replace(
            "- name: load\n", "- <<: *quick\n        name: load\n"
        )
    )
    (workflow,) = definitions.load(file).workflows.values()
    assert [node.name for node in workflow.nodes.values()] == ["extract", "load"]


def test_the_default_file_is_right() -> None:
    known = definitions.load(definitions.DEFAULT_FILE)
    assert {101, 102, 103} <= known.workflows.keys()
    assert definitions.DEFAULT_GROUP in known.namespaces[definitions.DEFAULT_NAMESPACE].groups
