"""``airflow schedulerx ...`` where Airflow takes commands of providers (3.x), and ``python -m airflow_provider_schedulerx``
everywhere.
"""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from airflow.cli.cli_config import CLICommand

    from airflow_provider_schedulerx.hooks.schedulerx import SchedulerXHook


@dataclass(frozen=True)
class _Argument:
    flags: tuple[str, ...]
    help: str


_CONN_ID = _Argument(("schedulerx_conn_id",), "Airflow connection, such as schedulerx_default")
_SCOPE = (
    _Argument(("--region-id",), "region; beats the connection's"),
    _Argument(("--namespace",), "uid of the namespace; beats the connection's"),
    _Argument(("--namespace-source",), "source of the namespace; beats the connection's"),
    _Argument(("--group-id",), "application group; beats the connection's"),
)


def check(args: Any) -> None:
    """Test a connection with a signed call that only reads, and say what to correct."""
    good, message = _hook(args).test_connection()
    print(message)  # noqa: T201
    if not good:
        raise SystemExit(1)


def workflows(args: Any) -> None:
    """List the workflows of a connection's group."""
    from airflow_provider_schedulerx import api

    rows = [("WORKFLOW", "NAME", "STATUS", "MAX CONCURRENCY")]
    found = _carried_out(_hook(args).list_workflows)
    rows += [
        (str(each.workflow_id), each.name or "", each.status or "", str(each.max_concurrency or ""))
        for each in found
    ]
    print(api.tracking.aligned(rows))  # noqa: T201


def instance(args: Any) -> None:
    """Show a workflow instance: its state, its nodes, and where it is in the console."""
    from airflow_provider_schedulerx import api

    hook = _hook(args)
    run = _carried_out(lambda: hook.get_workflow_instance(args.workflow_id, args.wf_instance_id))
    print(f"Workflow instance {run.wf_instance_id} of workflow {run.workflow_id} is {run.status.name}")  # noqa: T201
    print(hook.console_link(run.workflow_id, run.wf_instance_id))  # noqa: T201
    if run.nodes:
        print(api.tracking.node_table(run))  # noqa: T201


@dataclass(frozen=True)
class _Command:
    function: Callable[[Any], None]
    arguments: tuple[_Argument, ...]

    @property
    def name(self) -> str:
        return self.function.__name__

    @property
    def help(self) -> str:
        return (self.function.__doc__ or "").strip()


_COMMANDS = (
    _Command(check, (_CONN_ID, *_SCOPE)),
    _Command(workflows, (_CONN_ID, *_SCOPE)),
    _Command(
        instance,
        (
            _CONN_ID,
            _Argument(("workflow_id",), "id of the workflow"),
            _Argument(("wf_instance_id",), "id of the workflow instance (WfInstanceId)"),
            *_SCOPE,
        ),
    ),
)


def get_schedulerx_cli_commands() -> list[CLICommand]:
    """Return the group ``schedulerx`` of Airflow's command line."""
    from airflow.cli.cli_config import ActionCommand, Arg, GroupCommand, lazy_load_command

    return [
        GroupCommand(
            name="schedulerx",
            help="Look at Alibaba Cloud SchedulerX through a connection",
            subcommands=[
                ActionCommand(
                    name=command.name,
                    help=command.help,
                    func=lazy_load_command(f"{__name__}.{command.name}"),
                    args=tuple(
                        Arg(argument.flags, help=argument.help)  # type: ignore[no-untyped-call]
                        for argument in command.arguments
                    ),
                )
                for command in _COMMANDS
            ],
        )
    ]


def main(arguments: Sequence[str] | None = None) -> None:
    """Run a command without Airflow's command line."""
    parser = argparse.ArgumentParser(
        prog="python -m airflow_provider_schedulerx",
        description="Look at SchedulerX through an Airflow connection.",
    )
    subparsers = parser.add_subparsers(required=True)
    for command in _COMMANDS:
        subparser = subparsers.add_parser(command.name, help=command.help, description=command.help)
        for argument in command.arguments:
            subparser.add_argument(*argument.flags, help=argument.help)
        subparser.set_defaults(function=command.function)
    args = parser.parse_args(arguments)
    args.function(args)


def _hook(args: Any) -> SchedulerXHook:
    # As Airflow's own commands do: connections may be in its database.
    os.environ["_AIRFLOW_PROCESS_CONTEXT"] = "server"
    from airflow_provider_schedulerx.hooks.schedulerx import SchedulerXHook

    return SchedulerXHook.from_task(args)


def _carried_out(call: Callable[[], Any]) -> Any:
    """What a call returns; what is wrong with it is said in a line, and ends the command."""
    from airflow.providers.common.compat.sdk import AirflowException

    from airflow_provider_schedulerx.api.exceptions import SchedulerXError

    try:
        return call()
    except (SchedulerXError, AirflowException) as error:
        print(error, file=sys.stderr)  # noqa: T201
        raise SystemExit(1) from None
