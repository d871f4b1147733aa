"""The behaviours that the documentation leaves open, with what the service may do in each case: a table."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType


@dataclass(frozen=True)
class Value:
    """One thing that the service may do.

    :ivar source: where it comes from: ``D`` documented (perhaps for a sibling operation), ``C`` read in
        published code, ``I`` inferred, ``U`` merely possible.
    :ivar meaning: what the emulator does.
    """

    name: str
    source: str
    meaning: str


@dataclass(frozen=True)
class Behaviour:
    """A question that the documentation leaves open.

    :ivar why: why the default is the value nearest to the documentation.
    """

    key: str
    question: str
    values: tuple[Value, ...]
    default: str
    why: str

    @property
    def names(self) -> tuple[str, ...]:
        return tuple(value.name for value in self.values)


BEHAVIOURS: Mapping[str, Behaviour] = MappingProxyType(
    {
        behaviour.key: behaviour
        for behaviour in (
            Behaviour(
                "list_length",
                "How many runs does ListWorkflowInstance show?",
                (
                    Value("10", "D", "the 10 newest, as documented for GetJobInstanceList"),
                    Value("300", "I", "the 300 newest: what the service retains by default of a job"),
                ),
                "10",
                "10 is documented for the listing of the sibling; 300 only for what is retained of jobs",
            ),
            Behaviour(
                "list_order",
                "In which order do lists show runs?",
                (
                    Value("newest_first", "I", "newest first"),
                    Value("oldest_first", "U", "oldest first, of the newest that are shown"),
                    Value("unordered", "U", "in no order"),
                ),
                "newest_first",
                "the sibling GetJobInstanceList shows the newest, and consoles show them first",
            ),
            Behaviour(
                "list_waiting",
                "Do lists show runs that wait for their turn?",
                (
                    Value("listed", "I", "they are listed: status 1 is documented"),
                    Value("hidden", "U", "they are not listed before they begin"),
                ),
                "listed",
                "the documented statuses of the list include 1, waiting",
            ),
            Behaviour(
                "list_lag",
                "How soon do lists show a new run? (seconds, divided by --speed)",
                (
                    Value("0", "I", "at once"),
                    Value("2", "U", "after 2 s"),
                    Value("20", "U", "after 20 s"),
                ),
                "0",
                "nothing documents a delay",
            ),
            Behaviour(
                "job_list_length",
                "How many runs does GetJobInstanceList show?",
                (
                    Value("all", "D", "all of them, in pages"),
                    Value("10", "D", "the 10 newest, whatever the page, as before 2024"),
                ),
                "all",
                "its newer API page has pages; the English one still says that it shows the 10 newest",
            ),
            Behaviour(
                "job_list_time",
                "Which time of a run has to be in the range that GetJobInstanceList is given?",
                (
                    Value("schedule", "I", "the time for which it was scheduled"),
                    Value("start", "U", "the time at which it began, so that a waiting one is left out"),
                    Value("ignored", "D", "none: as before 2024, the range does nothing"),
                ),
                "schedule",
                "every run has a schedule time, and the service's index is on it",
            ),
            Behaviour(
                "same_second",
                "How is a second ExecuteJob within the same second refused?",
                (
                    Value("duplicate", "I", "the message has the database's words: Duplicate entry"),
                    Value("error", "U", 'HTTP 200, Success false, Code 500, "system error"'),
                ),
                "duplicate",
                "(job, schedule time) is documented to be a unique index, in which words it refuses is not",
            ),
            Behaviour(
                "when_full",
                "What do ExecuteWorkflow and ExecuteJob do beyond MaxConcurrency?",
                (
                    Value("refuse", "I", "it answers a failure and starts nothing"),
                    Value("queue", "U", "the run is made and waits for its turn"),
                    Value("skip", "D", "it answers success with the id 0 and starts nothing"),
                    Value(
                        "join",
                        "U",
                        "it answers success with the id of the newest active run, and starts nothing",
                    ),
                ),
                "refuse",
                "scheduled runs are documented to be skipped, not queued; for a call a refusal says so",
            ),
            Behaviour(
                "disabled_workflow",
                "What does ExecuteWorkflow do with a disabled workflow?",
                (
                    Value("refuse", "I", "it answers a failure, as ExecuteJob does by default"),
                    Value("run", "U", "it starts the run, as ExecuteJob does with CheckJobStatus=false"),
                ),
                "refuse",
                "the sibling ExecuteJob refuses a disabled job by default",
            ),
            Behaviour(
                "parameters_shown",
                "What does GetJobInstance show as Parameters?",
                (
                    Value("run", "I", "the parameters of the run, as they were given"),
                    Value("job", "U", "the parameters of the job, the same in every run"),
                    Value("escaped", "D", "those of the run with each quote escaped, as in the example"),
                    Value("html", "U", "those of the run, escaped for HTML"),
                    Value("cut", "U", "the first 12 characters of those of the run, and dots"),
                    Value("none", "U", "nothing"),
                ),
                "run",
                "the backslashes of the documented example are likelier the page's than the service's",
            ),
            Behaviour(
                "empty_data",
                "What is Data where there is nothing to tell?",
                (
                    Value("absent", "I", "it is left out; that of an empty list is an object with the list"),
                    Value("null", "U", "it is null, also that of an empty list"),
                ),
                "absent",
                "the documented examples of answers without Data leave it out",
            ),
            Behaviour(
                "business_status",
                "Which HTTP status has an answer with Success false?",
                (Value("200", "I", "HTTP 200"), Value("400", "U", "HTTP 400")),
                "200",
                "the body repeats success and code, which it needs only where the status does not tell",
            ),
            Behaviour(
                "denial",
                "How is a call denied that the RAM policy does not allow?",
                (
                    Value("gateway", "D", "by the gateway: HTTP 403, Code Forbidden.RAM"),
                    Value(
                        "body", "D", "in the service's body: Success false, integer Code, AccessDeniedDetail"
                    ),
                ),
                "gateway",
                "the error center documents it for every product; bodies have the field only of late",
            ),
            Behaviour(
                "throttling",
                "Which HTTP status has a throttled call?",
                (
                    Value("400", "D", "HTTP 400"),
                    Value("429", "U", "HTTP 429"),
                    Value("503", "D", "HTTP 503"),
                ),
                "400",
                "400 is the usual one of Throttling.User; statuses vary between products",
            ),
            Behaviour(
                "retry_after",
                "Does a throttled answer say when to come back?",
                (
                    Value("sent", "C", "the header x-acs-retry-after says it in milliseconds"),
                    Value("absent", "U", "it does not"),
                ),
                "sent",
                "the official SDK reads the header",
            ),
            Behaviour(
                "stopped_state",
                "Which status has a run whose nodes were stopped?",
                (
                    Value("5", "I", "5, failed"),
                    Value("6", "C", "6, which among jobs is killed"),
                    Value("7", "U", "a code that is not documented for a workflow"),
                ),
                "5",
                "a stopped job instance becomes 5, and 1 to 5 are all that is documented of a workflow",
            ),
            Behaviour(
                "stopped_job_state",
                "Which status has a job instance that was stopped?",
                (
                    Value("5", "C", "5, failed, as the published worker has it"),
                    Value("6", "C", "6, killed, which the same worker knows"),
                ),
                "5",
                "6 is not among the documented statuses",
            ),
            Behaviour(
                "waiting_node_id",
                "Has a node that waits for others its JobInstanceId already?",
                (
                    Value("present", "I", "it has it from the start"),
                    Value("absent", "U", "it gets it when it begins; edges to it are missing until then"),
                    Value("bare", "U", "likewise, and it has no Status until then either"),
                ),
                "present",
                "edges join job instance ids, so they need those of waiting nodes",
            ),
            Behaviour(
                "retry_ids",
                "Has a node the same JobInstanceId after RetryJobInstance?",
                (
                    Value("kept", "I", "the same; Attempt counts up"),
                    Value("new", "U", "a new one; the old one is gone"),
                ),
                "kept",
                "a node has a counter Attempt, which a new instance would not need",
            ),
            Behaviour(
                "late_refusal",
                "Can ExecuteWorkflow or ExecuteJob start the run and then answer a failure?",
                (
                    Value("never", "I", "it does not"),
                    Value("500", "U", 'every start: HTTP 200, Success false, Code 500, "system error"'),
                    Value("timeout", "U", "every start: HTTP 400, Code InternalError.Timeout"),
                    Value("no_code", "U", "every start: HTTP 200, Success false and no Code"),
                ),
                "never",
                "nothing documents it, and nothing rules it out",
            ),
            Behaviour(
                "node_trigger_type",
                "Which TriggerType has a node of a run that was started through the API?",
                (
                    Value("3", "I", "3, API call"),
                    Value("1", "U", "1, time"),
                    Value("absent", "U", "none"),
                ),
                "3",
                "3 is documented for a job that was started so",
            ),
            Behaviour(
                "time_zone",
                "In which zone are the times of answers?",
                (
                    Value("+08:00", "I", "in that of China"),
                    Value("+00:00", "U", "in UTC"),
                    Value("-05:00", "U", "in one of America, say of the region"),
                ),
                "+08:00",
                "the service and its console come from China",
            ),
            Behaviour(
                "api_data_time",
                "Has a run that was started through the API a DataTime?",
                (
                    Value("present", "I", "it is its ScheduleTime, the time of the call"),
                    Value("absent", "U", "it has none"),
                ),
                "present",
                "the example of a job that was started so has one",
            ),
            Behaviour(
                "start_interval",
                "How long apart must two starts of one workflow be? (seconds)",
                (
                    Value("0", "U", "they may come at once"),
                    Value("1", "I", "a second start in the same second is answered with a failure"),
                ),
                "0",
                "the unique index on the second is documented for ExecuteJob only",
            ),
            Behaviour(
                "quota_per",
                "Who shares the 100 calls a minute of an operation?",
                (
                    Value("account", "I", "all keys and RAM users of an account"),
                    Value("user", "U", "the keys of one RAM user"),
                ),
                "account",
                'the page says "user" without telling which; the account is the safe reading',
            ),
            Behaviour(
                "edition",
                "Which edition has the application?",
                (
                    Value("professional", "D", "AppVersion 2: every operation"),
                    Value("basic", "D", "AppVersion 1: operations of the Professional edition are refused"),
                ),
                "professional",
                "the provider needs it",
            ),
            Behaviour(
                "log_service",
                "Is the log service on?",
                (Value("on", "D", "GetLog answers lines"), Value("off", "D", "GetLog is refused")),
                "on",
                "GetLog needs it",
            ),
            Behaviour(
                "list_workflows",
                "Does this edition of the service have ListWorkFlows?",
                (
                    Value("present", "D", "it does; it exists since December 2025"),
                    Value("absent", "I", "an older edition answers InvalidAction.NotFound"),
                ),
                "present",
                "it is documented",
            ),
            Behaviour(
                "name_filter",
                "Which workflows does WorkflowName of ListWorkFlows let through?",
                (
                    Value("part", "I", "those whose name contains it"),
                    Value("any_case", "U", "the same, whatever the case of letters"),
                    Value("exact", "U", "those of exactly this name"),
                ),
                "part",
                "filters of lists are searches in the console",
            ),
        )
    }
)

#: Names of profiles, and where they differ from the defaults above.
PROFILES: Mapping[str, Mapping[str, str]] = MappingProxyType(
    {
        "documented": MappingProxyType({}),
        "hostile": MappingProxyType(
            {
                "list_order": "unordered",
                "list_waiting": "hidden",
                "list_lag": "2",
                "when_full": "queue",
                "disabled_workflow": "run",
                "parameters_shown": "escaped",
                "business_status": "400",
                "denial": "body",
                "throttling": "503",
                "retry_after": "absent",
                "stopped_state": "7",
                "stopped_job_state": "6",
                "job_list_length": "10",
                "job_list_time": "start",
                "same_second": "error",
                "waiting_node_id": "bare",
                "empty_data": "null",
                "retry_ids": "new",
                "late_refusal": "500",
                "node_trigger_type": "absent",
                "time_zone": "-05:00",
                "api_data_time": "absent",
                "start_interval": "1",
                "log_service": "off",
                "list_workflows": "absent",
                "name_filter": "any_case",
            }
        ),
    }
)
