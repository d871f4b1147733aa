"""``python -m airflow_provider_schedulerx.emulator``: start a local SchedulerX."""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import json
import os
import signal
import ssl
import sys
import threading
from collections.abc import Callable
from pathlib import Path

try:
    from airflow_provider_schedulerx.emulator import definitions, profile
except ModuleNotFoundError as _error:
    raise SystemExit(
        f"SchedulerX emulator: the module {_error.name} is not installed: "
        "pip install 'airflow-provider-schedulerx[emulator]'"
    ) from None
from airflow_provider_schedulerx.emulator.behaviours import PROFILES
from airflow_provider_schedulerx.emulator.connection import connection_to, export_line
from airflow_provider_schedulerx.emulator.engine import Engine
from airflow_provider_schedulerx.emulator.identities import Identities, Places
from airflow_provider_schedulerx.emulator.remote_control import RemoteControl
from airflow_provider_schedulerx.emulator.server import listen, service
from airflow_provider_schedulerx.emulator.service import DEFAULT_QUOTA, make_emulator
from airflow_provider_schedulerx.emulator.store import StateError, Store
from airflow_provider_schedulerx.emulator.tls import make_certificate
from airflow_provider_schedulerx.emulator.yaml_file import DefinitionError


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="python -m airflow_provider_schedulerx.emulator",
        description="A local stand-in for Alibaba Cloud SchedulerX 2.0. It is not the service: it runs "
        "made-up workflows on this machine, for development and tests.",
    )
    parser.add_argument("--host", default="127.0.0.1", help="address to listen on (default: %(default)s)")
    parser.add_argument(
        "--port", type=int, default=8190, help="port; 0 takes a free one (default: %(default)s)"
    )
    parser.add_argument(
        "--admin-port",
        type=int,
        default=0,
        help="port of the remote control, always on 127.0.0.1 (default: a free one)",
    )
    parser.add_argument(
        "--token-port", type=int, help="also serve a security token service (https) here; 0 takes a free port"
    )
    parser.add_argument(
        "--metadata-port", type=int, help="also serve an ECS metadata server here; 0 takes a free port"
    )
    parser.add_argument(
        "--metadata-host", default="127.0.0.1", help="address of the metadata server (default: %(default)s)"
    )
    parser.add_argument("--tls", action="store_true", help="serve https with a certificate made for this run")
    parser.add_argument(
        "--tls-folder", type=Path, metavar="FOLDER", help="keep the certificate here, for the next run"
    )
    parser.add_argument("--state", type=Path, metavar="FILE", help="keep instances in this SQLite file")
    parser.add_argument(
        "--workflows",
        type=Path,
        metavar="FILE",
        default=definitions.DEFAULT_FILE,
        help="YAML file of accounts, namespaces and workflows (default: %(default)s)",
    )
    parser.add_argument(
        "--quota", type=int, default=DEFAULT_QUOTA, help="calls a minute per operation (default: %(default)s)"
    )
    parser.add_argument(
        "--speed", type=float, default=1.0, help="how much faster jobs run (default: %(default)s)"
    )
    parser.add_argument(
        "--profile",
        type=_profile,
        default=profile.parse(profile.DEFAULT),
        metavar="NAME|KEY=VALUE,...",
        help="what the service does where its documentation leaves it open: a name "
        f"({', '.join(PROFILES)}), choices, or both (default: {profile.DEFAULT}; "
        "--profile help lists all)",
    )
    parser.add_argument("--verbose", action="store_true", help="print each call to standard error")
    parser.add_argument(
        "--end-with-stdin",
        action="store_true",
        help="end when standard input does, as it does when the process that holds its other end dies",
    )
    arguments = parser.parse_args()
    if arguments.speed <= 0:
        parser.error("--speed must be above 0")
    if arguments.quota < 0:
        parser.error("--quota must not be negative")
    return arguments


def _profile(text: str) -> profile.Profile:
    if text == "help":
        print(profile.describe())
        raise SystemExit
    try:
        return profile.parse(text)
    except profile.ProfileError as error:
        raise argparse.ArgumentTypeError(str(error)) from None


async def _run(arguments: argparse.Namespace) -> None:
    stopped = asyncio.Event()
    for number in (signal.SIGINT, signal.SIGTERM):
        asyncio.get_running_loop().add_signal_handler(number, stopped.set)
    if arguments.end_with_stdin:
        _at_end_of_stdin(asyncio.get_running_loop(), stopped.set)
    known = definitions.load(arguments.workflows)
    store = Store(arguments.state) if arguments.state else None
    engine = Engine(
        known.workflows.values(),
        jobs=known.jobs.values(),
        store=store,
        speed=arguments.speed,
        profile=arguments.profile,
    )
    emulator = make_emulator(known, engine, quota=arguments.quota, verbose=arguments.verbose)
    tls, ca_file = None, None
    if arguments.tls:
        certificate = make_certificate(arguments.host, arguments.tls_folder)
        tls = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        tls.load_cert_chain(certificate.chain_file)
        ca_file = str(certificate.ca_file)
    runner, port = await listen(service(emulator), arguments.host, arguments.port, tls)
    control = RemoteControl(emulator).application()
    identities = Identities(emulator.authenticator)
    places = Places(arguments.host, arguments.token_port, arguments.metadata_port, arguments.metadata_host)
    issuers = await identities.start(
        places, control, arguments.tls_folder or (Path(ca_file).parent if ca_file else None)
    )
    admin, admin_port = await listen(control, "127.0.0.1", arguments.admin_port)

    endpoint = f"{'https' if tls else 'http'}://{_reachable(arguments.host)}:{port}"
    connection = connection_to(endpoint, known, ca_file)
    print("SchedulerX emulator: a local stand-in, NOT Alibaba Cloud. Nothing here runs a real job.")
    print(f"  endpoint   {endpoint}   (host of the Airflow connection)")
    print(f"  console    {endpoint}/console/")
    print(f"  admin      http://127.0.0.1:{admin_port}")
    if ca_file:
        print(f"  ca_file    {ca_file}")
    for name, url in issuers.items():
        print(f"  {name:<14} {url}")
    print(f"  profile    {emulator.profile}   (what it does where the documentation leaves it open)")
    print("The Airflow connection schedulerx_default, as JSON and as a line for a shell:")
    print(f"  {json.dumps(connection)}")
    print(export_line(connection))
    # For programs, such as airflow_provider_schedulerx.emulator.process.
    facts = {
        "endpoint": endpoint,
        "admin": f"http://127.0.0.1:{admin_port}",
        "ca_file": ca_file,
        "connection": connection,
        **issuers,
    }
    print(json.dumps(facts), flush=True)

    await stopped.wait()
    await runner.cleanup()
    await admin.cleanup()
    await identities.stop()
    if store:
        store.close()


def _reachable(host: str) -> str:
    """The host part of a URL that leads to where this host listens."""
    host = {"0.0.0.0": "127.0.0.1", "::": "::1"}.get(host, host)  # noqa: S104 - not to listen on
    return f"[{host}]" if ":" in host else host


def _at_end_of_stdin(loop: asyncio.AbstractEventLoop, call: Callable[[], None]) -> None:
    def read() -> None:
        # Not through sys.stdin: a thread that holds its lock would break the end of the interpreter.
        with contextlib.suppress(OSError):
            while os.read(0, 4096):
                pass
        print("SchedulerX emulator: standard input has ended, so this ends too", file=sys.stderr, flush=True)
        with contextlib.suppress(RuntimeError):  # the loop has ended already
            loop.call_soon_threadsafe(call)

    threading.Thread(target=read, name="end of standard input", daemon=True).start()


def main() -> None:
    arguments = _arguments()
    try:
        with contextlib.suppress(KeyboardInterrupt):
            asyncio.run(_run(arguments))
    except (DefinitionError, StateError, OSError) as error:
        raise SystemExit(f"SchedulerX emulator: {error}") from None


if __name__ == "__main__":
    main()
