"""What Airflow keeps for a task or an asset, beyond a try and beyond a process."""

from __future__ import annotations

import importlib.util
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from airflow.providers.common.compat.sdk import Context


# 3.3: a store for each task instance that survives its retries.


def task_state_store(context: Context) -> Any:
    """Return the task state store of a task. None below 3.3, and in ``dag.test()``."""
    state: Mapping[str, Any] = context
    return state.get("task_state_store")


def store_for_good(store: Any, key: str, value: Any) -> None:
    """Write to a task state store without an expiry."""
    from airflow.sdk.execution_time.context import NEVER_EXPIRE

    store.set(key, value, retention=NEVER_EXPIRE)


# 3.3: a store for each asset, which outlives whoever watches the asset.


def asset_state_stores(trigger: Any) -> list[Any]:
    """Return the stores of the assets that an event trigger is watched for. Empty below 3.3."""
    stores = getattr(trigger, "asset_state_store", None)
    if stores is None:
        return []
    # One by one: what the accessor offers for all of them fails if there are several (apache/airflow #71460).
    return [*stores._by_name.values(), *stores._by_uri.values()]


def has_asset_state_store() -> bool:
    """Return whether this Airflow has such a store."""
    return importlib.util.find_spec("airflow.state") is not None


def append_to_asset_state(asset: Any, key: str, item: Any, keep: int) -> None:
    """Append to a list in the store of an asset, in the transaction that is under way in this thread.

    :param keep: how many items the list has at most.
    """
    import json

    from airflow import settings
    from airflow.models.asset import AssetModel
    from airflow.state import AssetScope, get_state_backend
    from airflow.state.metastore import MetastoreBackend
    from sqlalchemy import select

    # One session for each thread (scoped_session), hence the one that stores what we are told of.
    session = settings.Session()  # type: ignore[misc]
    # If this fails, that must not.
    with session.begin_nested():
        query = select(AssetModel.id).where(AssetModel.name == asset.name, AssetModel.uri == asset.uri)
        scope, backend = AssetScope(asset_id=session.scalar(query)), get_state_backend()
        items = [*json.loads(backend.get(scope, key, session=session) or "[]"), item][-keep:]
        if isinstance(backend, MetastoreBackend):
            from airflow._shared.state import AssetStateStoreWriterKind

            kind = AssetStateStoreWriterKind.WATCHER
            backend.set_asset_state_store(scope, key, json.dumps(items), kind=kind, session=session)
        else:
            backend.set(scope, key, json.dumps(items), session=session)
