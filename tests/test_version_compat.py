"""What differs between versions of Airflow, on the one that is here."""

from __future__ import annotations

import asyncio
import importlib
import sys
from collections.abc import Callable
from types import SimpleNamespace

import attrs
import pytest

from airflow_provider_schedulerx.emulator.process import EmulatorProcess
from airflow_provider_schedulerx.hooks.schedulerx import SchedulerXHook
from airflow_provider_schedulerx.version_compat import connections, deferrals, kills, stores, supervisors
from dev.harness.rest import AIRFLOW

SECRET = "a-secret-of-this-test"


URI_WITH_TOKEN = "http://127.0.0.1:9/credentials?auth=t0ken-of-the-uri"


def test_a_masked_secret_is_redacted() -> None:
    redact = None
    for name in ("airflow.sdk.log", *connections._MASKERS):
        try:
            redact = importlib.import_module(name).redact
        except (ImportError, AttributeError):
            continue
        break
    assert redact is not None
    connections.mask_secret(SECRET)
    assert SECRET not in redact(f"with {SECRET} in it")


def test_an_airflow_that_masks_nowhere_is_not_trusted(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(connections, "_MASKERS", ("airflow.nowhere",))
    with pytest.raises(ImportError, match=r"airflow\.nowhere"):
        connections.mask_secret(SECRET)


def test_triggers_are_told_of_kills_from_3_3_on() -> None:
    assert kills.triggers_are_told_of_kills() is (AIRFLOW >= (3, 3))


def attribute(path: str) -> object:
    """What a text such as ``module:name.name`` stands for."""
    module, _, names = path.partition(":")
    found: object = importlib.import_module(module)
    for name in names.split("."):
        found = getattr(found, name)
    return found


@pytest.mark.parametrize(
    ("since", "path"),
    [
        ((3, 0), "airflow.sdk.execution_time.comms:GetTaskStates"),
        ((3, 0), "airflow.sdk.execution_time.comms:GetXCom"),
        ((3, 0), "airflow.sdk.execution_time.comms:SetXCom"),
        ((3, 0), "airflow.sdk.execution_time.comms:CommsDecoder.send"),
        ((3, 0), "airflow.sdk.execution_time.task_runner:RuntimeTaskInstance.get_task_states"),
        ((3, 0), "airflow.sdk.execution_time.task_runner:RuntimeTaskInstance.get_first_reschedule_date"),
        ((3, 1), "airflow.jobs.triggerer_job_runner:TriggerCommsDecoder.asend"),
        ((3, 1), "airflow.api_fastapi.auth.managers.models.resource_details:DagAccessEntity.XCOM"),
        ((3, 1), "airflow.api_fastapi.core_api.security:requires_access_dag"),
        ((3, 1), "airflow.api_fastapi.common.db.common:SessionDep"),
        ((3, 1), "airflow.models.xcom:XComModel.value"),
        ((3, 3), "airflow.triggers.base:BaseTrigger.on_kill"),
        ((3, 3), "airflow.sdk.execution_time.context:NEVER_EXPIRE"),
        ((3, 3), "airflow.state:AssetScope"),
        ((3, 3), "airflow.state.metastore:MetastoreBackend.set_asset_state_store"),
        ((3, 3), "airflow._shared.state:AssetStateStoreWriterKind.WATCHER"),
    ],
)
def test_what_we_use_of_airflow_besides_its_public_interface_is_there(
    since: tuple[int, int], path: str
) -> None:
    """A new Airflow that has moved it is to fail here, by name, and not in a triggerer at night."""
    if since > AIRFLOW:
        pytest.skip(f"Airflow {since[0]}.{since[1]} and later")
    assert attribute(path) is not None


def test_what_we_recognize_by_a_private_name_still_has_it() -> None:
    """Without these, nothing would fail: the task would only do what it does on an older Airflow."""
    if AIRFLOW < (3, 0):
        pytest.skip("Airflow 3.0 and later")
    from airflow.sdk.bases.operator import TRIGGER_FAIL_REPR, TriggerFailureReason
    from airflow.sdk.execution_time import supervisor

    assert TRIGGER_FAIL_REPR == "__fail__"
    assert TriggerFailureReason.TRIGGER_TIMEOUT.value == "Trigger timeout"
    assert supervisors.is_in_process(supervisor.InProcessSupervisorComms(supervisor=None))  # type: ignore[arg-type]
    if AIRFLOW >= (3, 2):
        comms = attribute("airflow.jobs.triggerer_job_runner:TriggerCommsDecoder")
        assert {"_thread_lock", "_reader_task"} <= {field.name for field in attrs.fields(comms)}  # type: ignore[arg-type]


def test_a_watcher_finds_the_stores_of_all_its_assets() -> None:
    """Which Airflow offers for one asset only (apache/airflow #71460)."""
    if AIRFLOW < (3, 3):
        pytest.skip("Airflow 3.3 and later")
    from airflow.sdk.definitions.asset import AssetNameRef, AssetUriRef
    from airflow.sdk.execution_time.context import AssetStateStoreAccessor, AssetStateStoreAccessors

    trigger = SimpleNamespace(
        asset_state_store=AssetStateStoreAccessors(
            [AssetNameRef("a"), AssetNameRef("b"), AssetUriRef("u://c")]
        )
    )
    assert stores.asset_state_stores(trigger) == [
        AssetStateStoreAccessor(name="a"),
        AssetStateStoreAccessor(name="b"),
        AssetStateStoreAccessor(uri="u://c"),
    ]
    assert stores.asset_state_stores(SimpleNamespace()) == []


def test_a_deferral_is_known_at_once_below_3_0(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "airflow.sdk", None)  # as if it were not installed
    for name in [name for name in sys.modules if name.startswith("airflow.sdk.")]:
        monkeypatch.delitem(sys.modules, name)
    assert deferrals.seconds_until_a_deferral_is_known() == 0


def test_the_asynchronous_side_masks_the_secrets_of_a_connection(
    emulator: EmulatorProcess, connect: Callable[..., None]
) -> None:
    """What Airflow does not take for a secret by its name: a token within a URL."""
    from airflow.providers.common.compat.sdk import redact

    connection = emulator.connection(credential_type="credentials_uri", credentials_uri=URI_WITH_TOKEN)
    del connection["login"], connection["password"]
    connect(connection)
    assert "t0ken-of-the-uri" in str(redact(f"the token is {URI_WITH_TOKEN}"))
    asyncio.run(SchedulerXHook().aget_settings())
    assert "t0ken-of-the-uri" not in str(redact(f"the token is {URI_WITH_TOKEN}"))
