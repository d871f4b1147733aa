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
START_JOB = calls.execute_job(SCOPE, 1)


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
    "AuthPrincipalOwnerId": "1000",
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
    with pytest.raises(errors.SchedulerXUnavailableError) as caught:
        interpret(READ, unclear)
    assert "; " in caught.value.message, "no advice"


def test_a_stop_whose_answer_is_lost_is_ambiguous_too() -> None:
    with pytest.raises(errors.SchedulerXAmbiguousError):
        interpret(STOP, answer(504, b""))


@pytest.mark.parametrize(
    ("call", "empty"),
    [
        (calls.list_workflow_instances(SCOPE, 1), []),
        (calls.list_workflows(SCOPE, 1), ([], 0)),
        (calls.get_job_instance_list(SCOPE, 1), []),
        (calls.list_jobs(SCOPE), ([], 0)),
        (calls.get_log(SCOPE, 1, 2, start_ms=1, end_ms=2), []),
        (calls.list_namespaces(SCOPE), []),
        (calls.list_groups(SCOPE), []),
    ],
)
def test_data_that_is_null_is_an_empty_list(call: Any, empty: Any) -> None:
    """The service leaves out what is empty; that it leaves out Data itself is another matter."""
    assert interpret(call, answer(200, {"Success": True, "Data": None})) == empty
    assert interpret(call, answer(200, {"Success": True, "Data": {}})) == empty
    with pytest.raises(errors.SchedulerXUnavailableError):
        interpret(call, answer(200, {"Success": True}))


NOT_FOUND, FOREIGN = errors.SchedulerXNotFoundError, errors.SchedulerXForeignGroupError
SAME_SECOND = errors.SchedulerXSameSecondError


@pytest.mark.parametrize(
    ("call", "message", "kind"),
    [
        (START, "workflowId=12 is not existed", NOT_FOUND),
        (START, "workflow is not existed", NOT_FOUND),
        (START, "wofkflowId is not existed", NOT_FOUND),
        (START, "groupid not exist groupId: g namespace: n", NOT_FOUND),
        (START, "namespace n not exist", NOT_FOUND),
        (START, "workflowId: 12 not match groupId: g", FOREIGN),
        (START_JOB, "jobid: 92583 not match groupId: g", FOREIGN),
        (START_JOB, "jobid=92583 is not existed", NOT_FOUND),
        (START_JOB, "job is not existed", NOT_FOUND),
        (START_JOB, "groupid not exist groupId: g namespace: n", NOT_FOUND),
        (START_JOB, "namespace can not find namespace: n, namespaceSource:null", NOT_FOUND),
        (START_JOB, "jobId=7 is disabled", errors.SchedulerXRejectedError),
        (START_JOB, "job is not enabled, jobId=7", errors.SchedulerXRejectedError),
        (START_JOB, "Duplicate entry '7-1700000000' for key 'uk_job_id_schedule_time'", SAME_SECOND),
        (START_JOB, "DuplicateKeyException: job instance", SAME_SECOND),
        (STOP, "jobid: 92583 not match groupId: g", FOREIGN),
        (STOP, "jobid=92583 is not existed", NOT_FOUND),
        (STOP, "job instance 5 is not existed", NOT_FOUND),
        (STOP, "groupid not exist groupId: g namespace: n", NOT_FOUND),
        (READ, "wfInstanceId=7 is not existed", NOT_FOUND),
        (READ, "no such thing: 7 not exist", NOT_FOUND),
        (READ, "jobid: 92583 not match groupId: g", FOREIGN),
        (READ, "edition", errors.SchedulerXRejectedError),
    ],
)
@pytest.mark.parametrize("status", [200, 400])
def test_documented_refusals_carried_nothing_out(
    call: calls.Call[Any], message: str, kind: type[errors.SchedulerXError], status: int
) -> None:
    body = {"Code": 400, "Success": False, "Message": message, "RequestId": "R-1"}
    with pytest.raises(kind) as caught:
        interpret(call, answer(status, body))
    error = caught.value
    assert type(error) is kind
    assert (error.code, error.request_id, error.service_message) == ("400", "R-1", message)
    assert "; " in error.message, "no advice"


@pytest.mark.parametrize("call", [START, START_JOB, STOP])
@pytest.mark.parametrize(
    ("refusal", "says"),
    [
        (refused("system error", 500), "system error"),
        (answer(200, {"Success": False, "Message": "system error"}), "system error"),
        (answer(200, {"Success": False}), "no reason"),
        (refused("max concurrency 1 reached"), "max concurrency 1 reached; wait for the active run"),
        (refused("workflow is disabled"), "workflow is disabled; enable it"),
        (refused(""), "no reason"),
        # Something that is gone, but not what the request names.
        (refused("lock of worker does not exist after the start of the run"), "lock of worker"),
        (refused("started; route not found for job 5"), "route not found"),
        (gateway("InternalError.Timeout"), "the reason"),
        (gateway("ServiceTimeout"), "the reason"),
        (gateway("SomethingNew"), "the reason"),
        (gateway("InvalidState"), "the reason"),
        (answer(302, {"Code": "Moved", "Message": "elsewhere"}), "redirects are not followed"),
        (answer(302, b""), "redirects are not followed"),
        (answer(404, b""), "does not look like SchedulerX"),
        (answer(407, b"<html>"), "proxy"),
    ],
    ids=repr,
)
def test_a_refusal_that_is_not_documented_proves_nothing(
    call: calls.Call[Any], refusal: Response, says: str
) -> None:
    """The service may fail after it has started the run; its words survive for whoever has to decide."""
    with pytest.raises(errors.SchedulerXAmbiguousError, match=says) as caught:
        interpret(call, refusal)
    assert "may have been carried out" in str(caught.value)


def test_a_job_that_is_missing_does_not_prove_that_no_run_was_started() -> None:
    with pytest.raises(errors.SchedulerXAmbiguousError):
        interpret(START, refused("jobid=5 is not existed"))


@pytest.mark.parametrize("code", [200, 400, 500])
def test_a_second_start_of_a_job_in_the_same_second_differs_from_all_other_refusals(code: int) -> None:
    with pytest.raises(errors.SchedulerXSameSecondError, match="one start of a job in a second"):
        interpret(START_JOB, refused("insert failed: Duplicate entry '7-1700000000' for key 'uk'", code))


def test_a_duplicate_row_does_not_prove_that_no_run_of_a_workflow_was_started() -> None:
    """Its run is made before those of its jobs, of which one may be refused."""
    with pytest.raises(errors.SchedulerXAmbiguousError):
        interpret(START, refused("Duplicate entry '7-1700000000' for key 'uk'"))


@pytest.mark.parametrize(
    "message",
    [
        "job instance 5 is not existed",
        "jobInstance is disabled",
        "worker of job 5 not found",
        "job worker not found",
    ],
)
def test_what_may_be_said_of_a_job_instance_that_was_started_refuses_no_start(message: str) -> None:
    with pytest.raises(errors.SchedulerXAmbiguousError):
        interpret(START_JOB, refused(message))


@pytest.mark.parametrize(
    "passing",
    [
        refused("system error", 500),
        answer(200, {"Success": False, "Message": "m"}),
        gateway("InternalError.Timeout"),
        gateway("ServiceTimeout"),
        answer(302, b""),
        answer(404, b""),
    ],
    ids=repr,
)
def test_a_read_that_failed_in_the_service_may_be_repeated(passing: Response) -> None:
    with pytest.raises(errors.SchedulerXUnavailableError, match="; ") as caught:
        interpret(READ, passing)
    assert not isinstance(caught.value, errors.SchedulerXMalformedAnswerError)


@pytest.mark.parametrize(
    "malformed",
    [
        {"Success": True},
        {"Success": True, "Data": []},
        {"Success": True, "Data": {"WfInstanceInfo": {"Status": "done"}}},
        {"Success": True, "Data": {"WfInstanceInfo": {"Status": 3}, "WfInstanceDag": "none"}},
    ],
    ids=repr,
)
def test_an_answer_that_cannot_be_understood_has_its_own_class(malformed: dict[str, Any]) -> None:
    with pytest.raises(errors.SchedulerXMalformedAnswerError, match="please report"):
        interpret(READ, answer(200, malformed))
    with pytest.raises(errors.SchedulerXAmbiguousError):
        interpret(START, answer(200, malformed))


def test_a_body_that_nests_too_deeply_is_not_an_answer() -> None:
    with pytest.raises(errors.SchedulerXUnavailableError):
        interpret(READ, answer(200, b"[" * 100_000))
    with pytest.raises(errors.SchedulerXUnavailableError):
        interpret(READ, answer(200, b'{"a":' * 100_000 + b"1" + b"}" * 100_000))


def test_denial_names_action_and_principal_wherever_the_detail_stands() -> None:
    for denied in (
        gateway("Forbidden.RAM", 403, AccessDeniedDetail=DENIED),
        gateway("NoPermission", 400, AccessDeniedDetail=DENIED),
        refused("no", 403, AccessDeniedDetail=DENIED),
        refused("no", 200, AccessDeniedDetail=DENIED),
        answer(403, {"Code": 403, "Success": False, "Message": "no", "AccessDeniedDetail": DENIED}),
    ):
        with pytest.raises(
            errors.SchedulerXAuthorizationError, match="edas:Something to SubUser 2001 of account 1000"
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
        ({"x_acs_retry_after": "-5"}, None),
        ({"x_acs_retry_after": "3600000"}, 60.0),
        ({"x_acs_retry_after": "9" * 5000}, 60.0),
    ):
        with pytest.raises(errors.SchedulerXThrottledError) as caught:
            interpret(START, answer(400, {"Code": "Throttling.User", "Message": "m"}, **headers))
        assert caught.value.retry_after == wait


@pytest.mark.parametrize(
    "throttled",
    [
        answer(429, {"Message": "slow down"}),
        answer(429, b"<html>"),
        answer(503, {"Code": "Throttling.User", "Message": "m"}),
        answer(200, {"Code": "Throttling", "Success": False, "Message": "m"}),
    ],
    ids=repr,
)
def test_throttling_in_every_shape_carried_nothing_out(throttled: Response) -> None:
    with pytest.raises(errors.SchedulerXThrottledError, match="100 calls a minute"):
        interpret(START, throttled)


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
        interpret(READ, answer(200, {"Code": 200, "Success": False, "Message": "x"}))


def test_success_in_an_error_status_is_not_believed() -> None:
    with pytest.raises(errors.SchedulerXAmbiguousError):
        interpret(START, answer(500, {"Code": 200, "Success": True, "Data": {"WfInstanceId": 1}}))


@pytest.mark.parametrize(
    "message",
    [
        "workflow instance 36508287861 is not existed",
        "workflowInstance 36508287861 not found",
        "appGroup worker not found",
        "workflow job not exist",
        "workflow node 7 not found",
    ],
)
def test_what_may_be_said_of_a_run_that_was_started_refuses_no_start(message: str) -> None:
    with pytest.raises(errors.SchedulerXAmbiguousError):
        interpret(START, refused(message, 500))


def test_a_text_that_quotes_the_request_shows_no_token_and_no_parameter() -> None:
    canonical = (
        "GET\n/\nInstanceParameters=%7B%22password%22%3A%22hunter2%22%7D&Namespace=n\n"
        "x-acs-security-token:CAIS-TOKEN\n"
    )
    signature = gateway("SignatureDoesNotMatch", Message=f"server canonicalRequest is [{canonical}]")
    page = b"<html>GET /?InstanceParameters=%7B%22password%22%3A%22hunter2%22%7D&Namespace=n failed</html>"
    for response in (signature, answer(502, page)):
        with pytest.raises(errors.SchedulerXError) as raised:
            interpret(START, response)
        assert "hunter2" not in str(raised.value)
        assert "CAIS-TOKEN" not in str(raised.value)
        assert "Namespace=n" in str(raised.value), "the rest helps to find the cause"
