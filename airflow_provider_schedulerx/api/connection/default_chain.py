"""The default chain of alibabacloud-credentials: its own providers in its own order, without what it brings along.

Its ``DefaultCredentialsProvider`` starts a thread for each client; up to version 1.0.8, which fits the constraints of
Airflow 2.11.2 and 3.1.8, it also replaces the process's handlers of SIGTERM and SIGINT, by which Airflow stops a task,
and so cannot be used outside of the main thread. And it does not say when a key expires.
"""

from __future__ import annotations

from typing import Any

from alibabacloud_credentials import provider as sdk
from alibabacloud_credentials.exceptions import CredentialException
from alibabacloud_credentials.utils import auth_util as environment

from airflow_provider_schedulerx.api.connection.redaction import without_quotation


class DefaultChain:
    """Asks one provider after the other; the first that has a credential is asked from then on."""

    def __init__(self) -> None:
        self._providers: list[Any] = [sdk.EnvironmentVariableCredentialsProvider()]
        if environment.enable_oidc_credential:
            self._providers.append(sdk.OIDCRoleArnCredentialsProvider())
        self._providers += [sdk.CLIProfileCredentialsProvider(), sdk.ProfileCredentialsProvider()]
        if environment.environment_ecs_metadata_disabled.lower() != "true":
            self._providers.append(sdk.EcsRamRoleCredentialsProvider(async_update_enabled=False))
        if environment.environment_credentials_uri:
            self._providers.append(sdk.URLCredentialsProvider())
        self._chosen: Any = None

    def get_provider_name(self) -> str:
        """What the client calls its type."""
        return "default"

    def get_credentials(self) -> Any:
        """Return a credential.

        :raises CredentialException: saying of each provider why it has none.
        """
        if self._chosen is not None:
            return self._chosen.get_credentials()
        reasons = []
        for provider in self._providers:
            try:
                found = provider.get_credentials()
            except Exception as error:
                reasons.append(f"{provider.get_provider_name()}: {without_quotation(str(error))}")
                continue
            if found is not None:
                self._chosen = provider
                return found
        raise CredentialException(
            f"nothing in the SDK's default chain has a credential ({'; '.join(reasons)})"
        )
