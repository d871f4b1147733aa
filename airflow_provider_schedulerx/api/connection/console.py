"""The link to a run in a console: a template that is formatted once when it is checked, and cannot fail later."""

from __future__ import annotations

import string
from collections.abc import Mapping
from urllib.parse import quote, urlsplit

from airflow_provider_schedulerx.api.connection.scope import SCOPE_FIELDS, Scope
from airflow_provider_schedulerx.api.exceptions import SchedulerXConfigurationError

#: The instance list of a namespace; deeper links of the console are not documented.
DEFAULT_CONSOLE_URL = (
    "https://schedulerx2.console.aliyun.com/{region_id}/InstanceList?namespace={namespace}&source=schedulerx"
)
#: Of a run of a job, ``workflow_id`` and ``wf_instance_id`` are the ids of the job and of its instance.
CONSOLE_URL_FIELDS = (*SCOPE_FIELDS, "kind", "workflow_id", "wf_instance_id")


def console_link(
    template: str, scope: Scope, definition_id: int, instance_id: int, kind: str = "workflow"
) -> str:
    """Return the URL at which a person looks at a run.

    :param template: from :func:`check_console_url`, so every field of it is known and none has a format.
    :param definition_id: of the workflow or the job.
    :param instance_id: of its run.
    :param kind: ``workflow`` or ``job``.
    """
    values = {name: getattr(scope, name) or "" for name in SCOPE_FIELDS}
    return _fill(
        template, {**values, "kind": kind, "workflow_id": definition_id, "wf_instance_id": instance_id}
    )


def check_console_url(template: str | None, scope: Scope) -> str:
    """Return the template, or the usual one, and format it once.

    :raises SchedulerXConfigurationError: if it is no template, has a field that we do not know, or no web address
        comes of it.
    """
    if template is None:
        return DEFAULT_CONSOLE_URL
    try:
        for _, name, form, conversion in string.Formatter().parse(template):
            _check_field(name, form, conversion)
        scheme = urlsplit(console_link(template, scope, 1, 1)).scheme
    except SchedulerXConfigurationError:
        raise
    except Exception as error:
        raise SchedulerXConfigurationError(
            f"console_url is not a template of a URL: {error}", field="console_url"
        ) from None
    if scheme not in ("http", "https"):
        raise SchedulerXConfigurationError(
            "console_url must begin with http:// or https://", field="console_url"
        )
    return template


def _check_field(name: str | None, form: str | None, conversion: str | None) -> None:
    if name is None:
        return
    if name not in CONSOLE_URL_FIELDS:
        raise SchedulerXConfigurationError(
            f"console_url has the field {{{name}}}; it may have "
            + ", ".join(f"{{{known}}}" for known in CONSOLE_URL_FIELDS),
            field="console_url",
        )
    if form or conversion:
        # Whether a format suits may depend on the value, and a link must not fail after the start.
        raise SchedulerXConfigurationError(
            f"console_url has a format after {name}; write {{{name}}}", field="console_url"
        )


def _fill(template: str, values: Mapping[str, object]) -> str:
    return template.format(
        **{name: quote(str(value), safe="", errors="replace") for name, value in values.items()}
    )
