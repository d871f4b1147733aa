"""The form of a connection, written down once: Airflow 3.2 and later read it from the provider's metadata, earlier
ones ask the hook for widgets.
"""

from __future__ import annotations

from typing import Any

from airflow_provider_schedulerx.api.connection.endpoints import REGIONS

HIDDEN_FIELDS = ["schema"]
RELABELING = {"login": "AccessKey ID", "password": "AccessKey secret", "host": "Endpoint"}
PLACEHOLDERS = {
    "login": "empty uses the credential type below, or the SDK's default chain",
    "host": "empty chooses by region and network",
    "port": "443; if it is empty, Airflow 3.3 cannot test the saved connection",
}


def _field(label: str, description: str, kind: str = "string", **schema: Any) -> dict[str, Any]:
    """Every field may stay blank, so every type is nullable."""
    return {"label": label, "description": description, "schema": {"type": [kind, "null"], **schema}}


CONNECTION_FIELDS: dict[str, Any] = {
    "region_id": _field(
        "Region", "Region id, such as cn-hangzhou, or public. Tasks may override it.", examples=list(REGIONS)
    ),
    "namespace": _field("Namespace", "Uid of the namespace. Tasks may override it."),
    "namespace_source": _field("Namespace source", "Only for special third parties: usually blank."),
    "group_id": _field("Group", "Application group. Tasks may override it."),
    "network": _field(
        "Network",
        "vpc is reached only from inside the region's VPC.",
        enum=["public", "vpc", None],
        values_display={"null": "blank: public"},
    ),
    "credential_type": _field(
        "Credential type",
        "Blank means access_key or sts if an AccessKey is given, and default if not.",
        enum=[
            "access_key",
            "sts",
            "ram_role_arn",
            "ecs_ram_role",
            "oidc_role_arn",
            "credentials_uri",
            "bearer",
            "default",
            None,
        ],
        values_display={"null": "blank: by what is given"},
    ),
    "security_token": _field("Security token", "For sts.", format="password"),
    "role_arn": _field("Role ARN", "For ram_role_arn and oidc_role_arn."),
    "role_session_name": _field("Role session name", "For ram_role_arn and oidc_role_arn; optional."),
    "role_session_expiration": _field(
        "Role session duration",
        "Seconds, at least 900; for ram_role_arn and oidc_role_arn; optional.",
        "integer",
        minimum=900,
    ),
    "policy": _field("Session policy", "JSON object; for ram_role_arn and oidc_role_arn; optional."),
    "external_id": _field("External id", "For ram_role_arn; optional."),
    "sts_endpoint": _field(
        "STS endpoint",
        "Host, such as sts-vpc.cn-hangzhou.aliyuncs.com; for ram_role_arn and oidc_role_arn; optional.",
    ),
    "role_name": _field("ECS role name", "For ecs_ram_role; blank asks the metadata server."),
    "disable_imds_v1": _field("Disable IMDSv1", "For ecs_ram_role; optional.", "boolean"),
    "oidc_provider_arn": _field("OIDC provider ARN", "For oidc_role_arn."),
    "oidc_token_file_path": _field("OIDC token file", "For oidc_role_arn: a path on the workers."),
    "credentials_uri": _field("Credentials URI", "For credentials_uri."),
    "bearer_token": _field("Bearer token", "For bearer.", format="password"),
    "account": _field(
        "Account",
        "Id of the Alibaba Cloud account, whose quota all connections that name it share. Blank means that this "
        "connection's credential has a quota of its own.",
    ),
    "connect_timeout": _field("Connect timeout", "Seconds; 5 if blank.", "number"),
    "read_timeout": _field("Read timeout", "Seconds; 30 if blank.", "number"),
    "proxy": _field("Proxy", "URL such as http://proxy.example:3128 or http://user@proxy.example:3128."),
    "proxy_password": _field("Proxy password", "Of the user that proxy names.", format="password"),
    "ca_file": _field("CA file", "PEM file on the workers with a private certificate authority."),
    "calls_per_minute": _field(
        "Calls a minute",
        "Calls of each operation that one triggerer may make; 100, the account's quota, if blank. With N "
        "triggerers, divide it by N.",
        "integer",
        minimum=1,
    ),
    "console_url": _field(
        "Console URL",
        "Template of the link to a run, with {region_id}, {namespace}, {namespace_source}, {group_id}, "
        "{workflow_id} and {wf_instance_id}; of a job, these are its ids, and {kind} is job instead of workflow.",
    ),
}
