"""Assets that stand for workflows of SchedulerX: ``schedulerx://region/namespace/group/workflow``.

Airflow asks this module for each asset with that scheme, through the provider's ``asset-uris``.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any
from urllib.parse import quote, unquote

from airflow.providers.common.compat.sdk import Asset

from airflow_provider_schedulerx.api.connection.endpoints import check_region
from airflow_provider_schedulerx.api.exceptions import SchedulerXConfigurationError
from airflow_provider_schedulerx.api.parameters import check_id

if TYPE_CHECKING:
    from urllib.parse import SplitResult

    from airflow.providers.common.compat.openlineage.facet import Dataset as OpenLineageDataset

SCHEME = "schedulerx"

_PARTS = ("namespace", "group", "workflow")
_FORM = f"{SCHEME}://region/namespace/group/workflow"


def create_asset(
    *, region: str, namespace: str, group: str, workflow: str | int, extra: dict[str, Any] | None = None
) -> Asset:
    """Make the asset of a workflow.

    :param region: such as ``cn-hangzhou``.
    :param namespace: uid of the namespace.
    :param group: application group.
    :param workflow: id or name of the workflow. The two make different assets: neither is looked up.
    :param extra: of the asset.
    :raises ValueError: if a part is missing or malformed.
    """
    parts = (region, namespace, group, str(workflow))
    return Asset(uri=f"{SCHEME}://" + "/".join(quote(part, safe="") for part in parts), extra=extra)


def sanitize_uri(uri: SplitResult) -> SplitResult:
    """Check a URI and return its canonical form.

    :raises ValueError: naming the problem and the expected form.
    """
    region = uri.netloc.lower()
    parts = [unquote(part) for part in uri.path.removeprefix("/").split("/")]
    if len(parts) != len(_PARTS):
        raise _wrong(uri, f"after the region it has {sum(map(bool, parts))} parts, not 3")
    for name, part in zip(_PARTS, parts, strict=True):
        if not part.strip():
            raise _wrong(uri, f"{name} is empty")
    if uri.query:
        raise _wrong(uri, "it takes no query")
    try:
        check_region(region)
        if parts[-1].isascii() and parts[-1].isdecimal():
            parts[-1] = str(check_id("workflow", parts[-1]))
    except SchedulerXConfigurationError as error:
        raise _wrong(uri, error.message) from None
    return uri._replace(netloc=region, path="/" + "/".join(quote(part, safe="") for part in parts))


def convert_asset_to_openlineage(asset: Asset, lineage_context: Any) -> OpenLineageDataset:
    """Name the asset as OpenLineage does: the region is the namespace, all else the name."""
    from airflow.providers.common.compat.openlineage.facet import Dataset

    region, _, name = asset.uri.removeprefix(f"{SCHEME}://").partition("/")
    return Dataset(namespace=f"{SCHEME}://{region}", name=unquote(name))


def _wrong(uri: SplitResult, why: str) -> ValueError:
    return ValueError(
        f"asset URI {uri.geturl()!r}: {why}. Write {_FORM}, where workflow is an id or a name, each part percent-encoded"
    )
