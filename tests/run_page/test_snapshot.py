"""What is stored of a run: small, masked, and read as untrusted input."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from airflow_provider_schedulerx.api.models import (
    Edge,
    JobInstance,
    JobInstanceStatus,
    WorkflowInstance,
    WorkflowInstanceNode,
    WorkflowInstanceStatus,
)
from airflow_provider_schedulerx.run_page.encoding import MAX_BYTES, MalformedSnapshotError, decode, encode
from airflow_provider_schedulerx.run_page.snapshot import Snapshot

NOW = 1_800_000_000.0


def unmasked(text: str) -> str:
    return text


def a_node(job_id: int, status: int = 3, **values: Any) -> WorkflowInstanceNode:
    values = {"job_instance_id": job_id + 9_000, "job_name": f"node {job_id}", **values}
    return WorkflowInstanceNode(job_id=job_id, status=JobInstanceStatus(status), **values)


def an_instance(
    *nodes: WorkflowInstanceNode, edges: tuple[Edge, ...] = (), status: int = 3
) -> WorkflowInstance:
    return WorkflowInstance(101, 36508287844, WorkflowInstanceStatus(status), nodes=nodes, edges=edges)


def stored(instance: WorkflowInstance) -> dict[str, Any]:
    return json.loads(encode(Snapshot.of(instance, NOW, mask=unmasked)))


def test_what_is_stored_is_read_as_it_was() -> None:
    instance = an_instance(
        a_node(1, 4, result="extracted 1200 rows", attempt=2, start_time="2026-11-25 05:41:38"),
        a_node(2, 77),
        edges=(Edge(0, 9_001), Edge(9_001, 9_002)),
    )
    snapshot = Snapshot.of(instance, NOW, mask=unmasked, try_number=2)
    assert decode(encode(snapshot)) == snapshot
    assert snapshot.edges == ((0, 1),)
    assert snapshot.nodes[0].retries == 2
    assert snapshot.nodes[1].status.name == "UNKNOWN_77", "a status nobody documented keeps its number"
    assert (snapshot.observed_at, snapshot.nodes_observed_at) == (NOW, NOW)
    assert decode(json.loads(encode(snapshot))) == snapshot, "an edited XCom comes as its object"


@pytest.mark.parametrize("offset", [9_000, 0], ids=["job instance ids", "job ids"])
def test_edges_may_join_either_kind_of_id(offset: int) -> None:
    instance = an_instance(a_node(1), a_node(2), edges=(Edge(0, 1 + offset), Edge(1 + offset, 2 + offset)))
    assert Snapshot.of(instance, NOW, mask=unmasked).edges == ((0, 1),)


def test_a_node_without_an_instance_yet_has_no_edges_and_breaks_nothing() -> None:
    instance = an_instance(
        a_node(1),
        a_node(2),
        a_node(3, 1, job_instance_id=None),
        edges=(Edge(9_001, 9_002), Edge(9_002, 9_003)),
    )
    assert Snapshot.of(instance, NOW, mask=unmasked).edges == ((0, 1),)


def test_texts_are_masked_whole_before_they_are_cut() -> None:
    secret = "s3cr3t" * 30
    text = "x" * 250 + secret
    snapshot = Snapshot.of(an_instance(a_node(1, result=text)), NOW, mask=lambda t: t.replace(secret, "***"))
    assert snapshot.nodes[0].result == "x" * 250 + "***"
    long = Snapshot.of(an_instance(a_node(1, result=secret * 200)), NOW, mask=unmasked)
    assert long.nodes[0].result == "(not shown: 36,000 characters)"


def test_no_address_of_a_worker_and_nothing_that_a_database_refuses_is_stored() -> None:
    data = stored(an_instance(a_node(1, work_addr="10.0.0.7:4343", result="a\0b\ud800c")))
    assert "10.0.0.7" not in json.dumps(data)
    assert data["nodes"][0]["result"] == "ab?c"


@pytest.mark.parametrize("count", [1, 40, 400, 500, 5_000])
def test_any_run_fits(count: int) -> None:
    nodes = [
        a_node(i, 5 if i == 3 else 4, job_name="数" * 400, result="é" * 900) for i in range(1, count + 1)
    ]
    edges = tuple(Edge(i + 9_000, j + 9_000) for i in range(1, 60) for j in range(60, 120))
    data = stored(an_instance(*nodes, edges=edges))
    assert len(json.dumps(data)) <= MAX_BYTES
    snapshot = decode(data)
    assert snapshot.nodes_total == count
    assert len(snapshot.nodes) >= min(count, 100)
    if count >= 3:
        assert snapshot.nodes[2].result, "why a node failed is cut last"


@pytest.mark.parametrize("name", ["数" * 400, "n"], ids=["cut down to fit", "short"])
def test_no_cap_hides_a_failed_node_or_one_that_runs(name: str) -> None:
    special = {598: 5, 599: 3, 600: 9}
    nodes = [a_node(i, special.get(i, 4 if i < 300 else 1), job_name=name) for i in range(1, 601)]
    edges = tuple(Edge(i + 9_000, i + 9_001) for i in range(1, 600))
    snapshot = decode(stored(an_instance(*nodes, edges=edges)))
    assert len(snapshot.nodes) < 600
    assert [node.job_id for node in snapshot.nodes[-3:]] == [598, 599, 600], "in the order of the workflow"
    assert [node.job_id for node in snapshot.nodes] == sorted(node.job_id for node in snapshot.nodes)
    last = len(snapshot.nodes) - 1
    assert {(last - 2, last - 1), (last - 1, last)} <= set(snapshot.edges), "their edges with them"
    assert snapshot.nodes_total == 600


def test_what_is_stored_is_a_text_as_links_are() -> None:
    """Also a backend for XComs that expects nothing else clears it."""
    assert isinstance(encode(Snapshot.of(an_instance(a_node(1)), NOW, mask=unmasked)), str)


def test_a_poll_without_nodes_keeps_the_older_ones_and_their_age() -> None:
    older = Snapshot.of(an_instance(a_node(1), a_node(2), edges=(Edge(1, 2),)), NOW - 40, mask=unmasked)
    newer = Snapshot.of(an_instance(status=4), NOW, mask=unmasked).with_nodes_of(older)
    assert newer.nodes == older.nodes
    assert newer.edges == ((0, 1),)
    assert (newer.observed_at, newer.nodes_observed_at) == (NOW, NOW - 40)
    other = WorkflowInstance(101, 1, WorkflowInstanceStatus(3))
    assert Snapshot.of(other, NOW, mask=unmasked).with_nodes_of(older).nodes == (), "of another run"


def a_job(status: int = 3, **values: Any) -> JobInstance:
    return JobInstance(501, 77, JobInstanceStatus(status), **values)


def test_a_run_of_a_job_is_its_own_only_node() -> None:
    snapshot = Snapshot.of(
        a_job(11, job_name="nightly", result="3 of 8 shards failed", start_time="2026-11-25 05:41:38"),
        NOW,
        mask=unmasked,
    )
    assert decode(encode(snapshot)) == snapshot
    assert snapshot.label == "Job 501, instance 77"
    assert snapshot.status is JobInstanceStatus.PARTIAL_FAILED
    assert snapshot.job is not None
    assert (snapshot.job.name, snapshot.job.result) == ("nightly", "3 of 8 shards failed")


def test_a_list_of_job_instances_lacks_the_name_which_is_kept() -> None:
    older = Snapshot.of(a_job(job_name="nightly"), NOW - 40, mask=unmasked)
    newer = Snapshot.of(a_job(4, result="done"), NOW, mask=unmasked).with_nodes_of(older)
    assert newer.job is not None
    assert (newer.job.name, newer.job.result, newer.job.status.name) == ("nightly", "done", "SUCCESS")
    of_a_workflow = Snapshot.of(an_instance(a_node(1)), NOW, mask=unmasked)
    assert (
        Snapshot.of(a_job(), NOW, mask=unmasked).with_nodes_of(of_a_workflow).job
        == Snapshot.of(a_job(), NOW, mask=unmasked).job
    )


GOOD = {
    "version": 1, "kind": "workflow", "definition_id": 1, "instance_id": 2, "status": 3, "observed_at": 1.0, "nodes_observed_at": 1.0,
    "start": None, "end": None, "nodes_total": 2,
    "nodes": [{"job": 1, "status": 3}, {"job": 2, "status": 1}], "edges": [[0, 1]],
}  # fmt: skip


def test_the_sample_is_good() -> None:
    assert len(decode(GOOD).nodes) == 2


@pytest.mark.parametrize(
    "change",
    [
        {"version": 2}, {"version": None}, {"kind": "batch"}, {"kind": ["job"]}, {"definition_id": "101"}, {"definition_id": 10**400}, {"instance_id": True},
        {"status": "3"}, {"status": None}, {"try": "1"}, {"try": []}, {"observed_at": "now"}, {"observed_at": -1}, {"observed_at": 1e300},
        {"nodes": None}, {"nodes": {}}, {"nodes": [None]}, {"nodes": [[]]}, {"nodes": [{}]}, {"nodes": "abc"},
        {"nodes": [{"job": 1, "status": 3}] * 501}, {"nodes": [{"job": 1, "status": 3, "name": ["x"]}]},
        {"nodes": [{"job": 1, "status": 3, "retries": None}]}, {"start": {}}, {"nodes_total": "many"},
        {"edges": None}, {"edges": [[0]]}, {"edges": [[0, 2]]}, {"edges": [[-1, 0]]}, {"edges": [["0", 1]]},
        {"edges": [[0.0, 1]]}, {"edges": [[0, 1]] * 2_001},
    ],
    ids=str,
)  # fmt: skip
def test_what_is_no_snapshot_is_refused(change: dict[str, Any]) -> None:
    with pytest.raises(MalformedSnapshotError):
        decode({**GOOD, **change})


@pytest.mark.parametrize(
    "value",
    [None, 7, [], "", "{", "[" * 100_000, "null", '"x"', "9" * 5_000, "x" * 5_000_000, b"{}"],
    ids=lambda value: repr(value)[:20],
)
def test_nor_is_anything_else(value: object) -> None:
    with pytest.raises(MalformedSnapshotError):
        decode(value)


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(), inner, max_size=4),
    max_leaves=12,
)


@given(st.dictionaries(st.sampled_from(sorted(GOOD)), JSON))
def test_whatever_is_stored_gives_a_snapshot_or_that_error(change: dict[str, Any]) -> None:
    try:
        snapshot = decode({**GOOD, **change})
    except MalformedSnapshotError:
        return
    encode(snapshot).encode()


def test_long_texts_that_someone_stored_are_cut() -> None:
    nodes = [{"job": 1, "status": 3, "name": "n" * 10_000, "result": "r" * 10_000 + "\ud800"}]
    (node,) = decode({**GOOD, "nodes": nodes, "edges": []}).nodes
    assert len(node.name or "") == 120
    assert len(node.result or "") == 300
