"""Each documented error, from the gateway and from the service, maps to the right class and advice."""

from __future__ import annotations

import json
from typing import Any

import pytest

from airflow_provider_schedulerx.api import exceptions as errors
from airflow_provider_schedulerx.api.connection.settings import Scope
from airflow_provider_schedulerx.api.wire import calls
from airflow_provider_schedulerx.api.wire.responses import Response, interpret

SCOPE = Scope("cn-hangzhou", "ns", None, "g")
START = calls.execute_workflow(SCOPE, 1)
READ = calls.get_workflow_instance(SCOPE, 1, 2)
STOP = calls.stop_job_instance(SCOPE, 1, 2)


def answer(status: int, body: Any, **headers: str) -> Response:
    raw = body if isinstance(body, bytes) else json.dumps(body).encode()
    return Response(status, {name.replace("_", "-"): value for name, value in headers.items()}, raw)


def gateway(code: str, status: int = 400, **more: Any) -> Response:
    return answer(status, {"RequestId": "R-1", "HostId": "h", "Code": code, "Message": "the reason", **more})


def refused(message: str, code: int = 400, **more: Any) -> Response:
    return answer(200, {"Code": code, "Success": False, "Message": message, "RequestId": "R-1", **more})


DENIED = {
    "AuthAction": "edas:Something",
    "AuthPrincipalType": "SubUser",
    "AuthPrincipalDisplayName": "2001",
    "NoPermissionType": "ImplicitDeny",
    "PolicyType": "AccountLevelIdentityBasedPolicy",
    "EncodedDiagnosticMessage": "abc",
}


@pytest.mark.parametrize("status", [400, 403, 404, 500, 200])
@pytest.mark.parametrize(
    ("code", "kind", "advice"),
    [
        ("InvalidAccessKeyId.NotFound", errors.SchedulerXAuthenticationError, "login"),
        ("InvalidAccessKeyId.Inactive", errors.SchedulerXAuthenticationError, "enable"),
        ("SignatureDoesNotMatch", errors.SchedulerXAuthenticationError, "password"),
        ("InvalidTimeStamp.Expired", errors.SchedulerXAuthenticationError, "clock"),
        ("InvalidTimeStamp.Format", errors.SchedulerXAuthenticationError, "clock"),
        ("InvalidSecurityToken.Expired", errors.SchedulerXAuthenticationError, "refreshes by itself"),
        ("Throttling", errors.SchedulerXThrottledError, "100 calls a minute"),
        ("Throttling.User", errors.SchedulerXThrottledError, "100 calls a minute"),
        ("Throttling.Api", errors.SchedulerXThrottledError, "100 calls a minute"),
        ("Forbidden.RAM", errors.SchedulerXAuthorizationError, "edas:ManageSchedulerxWorkflowRun"),
        ("NoPermission", errors.SchedulerXAuthorizationError, "edas:ManageSchedulerxWorkflowRun"),
        ("InvalidProduct.NotFound", errors.SchedulerXConfigurationError, "region_id and network"),
        ("InvalidProtocol.NeedSsl", errors.SchedulerXConfigurationError, "https://"),
    ],
)
def test_gateway_codes_decide_whatever_the_http_status(
    status: int, code: str, kind: type[errors.SchedulerXError], advice: str
) -> None:
    with pytest.raises(kind, match=advice) as caught:
        interpret(START, gateway(code, status))
    error = caught.value
    assert type(error) is kind
    assert (error.operation, error.code, error.request_id) == ("ExecuteWorkflow", code, "R-1")
    assert "the reason" in str(error)
    assert "RequestId=R-1" in str(error)


@pytest.mark.parametrize("code", ["MissingRegionId", "MissingWorkflowId", "InvalidAction.NotFound"])
def test_other_gateway_refusals_are_final(code: str) -> None:
    with pytest.raises(errors.SchedulerXRejectedError) as caught:
        interpret(START, gateway(code))
    assert caught.value.code == code


@pytest.mark.parametrize(
    "unclear",
    [
        gateway("InternalError", 500),
        gateway("InternalError", 400),
        gateway("ServiceUnavailable", 503),
        gateway("SomethingNew", 502),
        # Every call has its own nonce, so a second copy of the request was seen.
        gateway("SignatureNonceUsed"),
        answer(502, b"<html>Bad Gateway</html>"),
        answer(504, b""),
        answer(200, b'{"Code": 200, "Succ'),
        answer(200, b"[]"),
        answer(200, {"RequestId": "R-1"}),
        answer(200, {"Success": "true", "Data": {"WfInstanceId": 1}}),
        answer(200, {"Success": True}),
        answer(200, {"Success": True, "Data": None}),
        answer(200, {"Success": True, "Data": {}}),
        answer(200, {"Success": True, "Data": {"WfInstanceId": 0}}),
        answer(200, {"Success": True, "Data": {"WfInstanceId": "soon"}}),
    ],
    ids=repr,
)
def test_an_unclear_answer_is_ambiguous_for_a_start_and_harmless_for_a_read(unclear: Response) -> None:
    with pytest.raises(errors.SchedulerXAmbiguousError, match="may have been carried out"):
        interpret(START, unclear)
    with pytest.raises(errors.SchedulerXUnavailableError):
        interpret(READ, unclear)


def test_a_stop_whose_answer_is_lost_is_ambiguous_too() -> None:
    with pytest.raises(errors.SchedulerXAmbiguousError):
        interpret(STOP, answer(504, b""))


@pytest.mark.parametrize(
    ("message", "kind"),
    [
        ("workflowId=12 is not existed", errors.SchedulerXNotFoundError),
        ("wofkflowId is not existed", errors.SchedulerXNotFoundError),
        ("groupid not exist groupId: g namespace: n", errors.SchedulerXNotFoundError),
        ("jobid: 92583 not match groupId: g", errors.SchedulerXForeignGroupError),
        ("workflow is disabled", errors.SchedulerXRejectedError),
        ("", errors.SchedulerXRejectedError),
    ],
)
def test_business_refusals(message: str, kind: type[errors.SchedulerXError]) -> None:
    with pytest.raises(kind) as caught:
        interpret(START, refused(message))
    assert type(caught.value) is kind
    assert (caught.value.code, caught.value.request_id) == ("400", "R-1")


def test_denial_names_action_and_principal_wherever_the_detail_stands() -> None:
    for denied in (
        gateway("Forbidden.RAM", 403, AccessDeniedDetail=DENIED),
        refused("no", 403, AccessDeniedDetail=DENIED),
    ):
        with pytest.raises(
            errors.SchedulerXAuthorizationError, match="edas:Something to SubUser 2001"
        ) as caught:
            interpret(START, denied)
        assert caught.value.action == "edas:Something"
        assert caught.value.access_denied_detail == DENIED


def test_throttling_tells_the_wait_in_seconds_if_it_is_known() -> None:
    for headers, wait in (
        ({"x_acs_retry_after": "1500"}, 1.5),
        ({}, None),
        ({"x_acs_retry_after": "soon"}, None),
        ({"x_acs_retry_after": "0"}, None),
    ):
        with pytest.raises(errors.SchedulerXThrottledError) as caught:
            interpret(START, answer(400, {"Code": "Throttling.User", "Message": "m"}, **headers))
        assert caught.value.retry_after == wait
    with pytest.raises(errors.SchedulerXThrottledError):
        interpret(START, answer(429, {"Message": "slow down"}))


def test_success_ignores_the_error_text_that_documented_samples_carry() -> None:
    body = {
        "Code": 200,
        "Success": True,
        "Message": "Your request is denied",
        "RequestId": "R",
        "Data": {"WfInstanceId": 36508287844},
    }
    started = interpret(START, answer(200, body))
    assert (started.wf_instance_id, started.request_id) == (36508287844, "R")


def test_success_false_with_http_200_is_a_failure() -> None:
    with pytest.raises(errors.SchedulerXRejectedError):
        interpret(STOP, answer(200, {"Code": 200, "Success": False, "Message": "x"}))


def test_success_in_an_error_status_is_not_believed() -> None:
    with pytest.raises(errors.SchedulerXAmbiguousError):
        interpret(START, answer(500, {"Code": 200, "Success": True, "Data": {"WfInstanceId": 1}}))
