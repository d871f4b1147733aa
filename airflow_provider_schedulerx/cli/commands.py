"""The table of commands, for Airflow's command line and for our own.

What a command does is imported when it runs: Airflow reads this table whenever any of its commands is called.
"""

from __future__ import annotations

import argparse
import importlib
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from airflow.cli.cli_config import CLICommand

_DESCRIPTION = "Inspect Alibaba Cloud SchedulerX through an Airflow connection"


@dataclass(frozen=True)
class Argument:
    """:ivar more: further arguments of ``add_argument``."""

    flags: tuple[str, ...]
    help: str
    more: dict[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class Command:
    """A command, which is the function ``run`` in the module of its name."""

    name: str
    help: str
    arguments: tuple[Argument, ...]

    @property
    def path(self) -> str:
        return f"airflow_provider_schedulerx.cli.{self.name.replace('-', '_')}.run"


_CONN_ID = Argument(("schedulerx_conn_id",), "Airflow connection, such as schedulerx_default")
_SCOPE = (
    Argument(("--region-id",), "region; overrides that of the connection"),
    Argument(("--namespace",), "uid of the namespace; overrides that of the connection"),
    Argument(("--namespace-source",), "source of the namespace; overrides that of the connection"),
    Argument(("--group-id",), "application group; overrides that of the connection"),
)


def _switch(flag: str, text: str) -> Argument:
    return Argument((flag,), text, {"action": "store_true"})


COMMANDS: tuple[Command, ...] = (
    Command("check", "Test a connection with a signed call that only reads", (_CONN_ID, *_SCOPE)),
    Command(
        "doctor",
        "Examine a connection: what works, what to set, and what the service does where its documentation is silent. "
        "Only reads, unless --start is given",
        (
            _CONN_ID,
            Argument(("--workflow-id",), "workflow to look at; one with many runs is chosen if not given"),
            Argument(("--workflow-name",), "its exact name instead"),
            _switch("--json", "print JSON instead of a table"),
            _switch("--start", "start the workflow and follow the run, after asking"),
            _switch("--yes", "with --start: do not ask"),
            Argument(
                ("--parameters",),
                "with --start: instance parameters as a JSON object, such as '{}'; a marker is added to them",
                {"metavar": "JSON"},
            ),
            _switch("--fill", "with --start: start runs until one is beyond MaxConcurrency"),
            _switch("--stop", "with --start: stop the runs once they are running"),
            Argument(
                ("--follow",),
                "with --start: seconds to follow the runs (default: 120)",
                {"type": float, "default": 120.0, "metavar": "SECONDS"},
            ),
            *_SCOPE,
        ),
    ),
    Command(
        "workflows",
        "List the workflows of the connection's group",
        (_CONN_ID, Argument(("--name",), "only workflows whose name contains this text"), *_SCOPE),
    ),
    Command(
        "instance",
        "Show a workflow instance: its state, its nodes, and where it is in the console",
        (
            _CONN_ID,
            Argument(("workflow_id",), "id of the workflow, or its exact name", {"metavar": "workflow"}),
            Argument(("wf_instance_id",), "id of the workflow instance (WfInstanceId)"),
            *_SCOPE,
        ),
    ),
    Command(
        "jobs",
        "List the jobs of the connection's group",
        (_CONN_ID, Argument(("--name",), "only jobs whose name contains this text"), *_SCOPE),
    ),
    Command(
        "job-instance",
        "Show a job instance: its state, where it is in the console, and the last lines of its log",
        (
            _CONN_ID,
            Argument(("job_id",), "id of the job, or its exact name", {"metavar": "job"}),
            Argument(("job_instance_id",), "id of the job instance (JobInstanceId)"),
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
            help=_DESCRIPTION,
            subcommands=[
                ActionCommand(
                    name=command.name,
                    help=command.help,
                    func=lazy_load_command(command.path),
                    args=tuple(
                        Arg(argument.flags, help=argument.help, **argument.more)  # type: ignore[no-untyped-call]
                        for argument in command.arguments
                    ),
                )
                for command in COMMANDS
            ],
        )
    ]


def main(arguments: Sequence[str] | None = None) -> None:
    """Run a command without Airflow's command line."""
    parser = argparse.ArgumentParser(
        prog="python -m airflow_provider_schedulerx", description=f"{_DESCRIPTION}."
    )
    subparsers = parser.add_subparsers(required=True)
    for command in COMMANDS:
        subparser = subparsers.add_parser(command.name, help=command.help, description=f"{command.help}.")
        for argument in command.arguments:
            subparser.add_argument(*argument.flags, help=argument.help, **argument.more)
        subparser.set_defaults(path=command.path)
    args = parser.parse_args(arguments)
    module, _, name = args.path.rpartition(".")
    getattr(importlib.import_module(module), name)(args)
