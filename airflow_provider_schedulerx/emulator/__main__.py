"""``python -m airflow_provider_schedulerx.emulator``: start a local SchedulerX."""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import json
import signal
import ssl
from pathlib import Path

try:
    from airflow_provider_schedulerx.emulator import definitions
except ModuleNotFoundError as _error:
    raise SystemExit(
        f"SchedulerX emulator: the module {_error.name} is not installed: "
        "pip install 'airflow-provider-schedulerx[emulator]'"
    ) from None

from airflow_provider_schedulerx.emulator.engine import Engine
from airflow_provider_schedulerx.emulator.server import DEFAULT_QUOTA, listen, make_emulator
from airflow_provider_schedulerx.emulator.store import Store
from airflow_provider_schedulerx.emulator.tls import make_certificate


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
    parser.add_argument("--verbose", action="store_true", help="print each call to standard error")
    arguments = parser.parse_args()
    if arguments.speed <= 0:
        parser.error("--speed must be above 0")
    return arguments


async def _run(arguments: argparse.Namespace) -> None:
    stopped = asyncio.Event()
    for number in (signal.SIGINT, signal.SIGTERM):
        asyncio.get_running_loop().add_signal_handler(number, stopped.set)
    known = definitions.load(arguments.workflows)
    store = Store(arguments.state) if arguments.state else None
    engine = Engine(known.workflows.values(), store=store, speed=arguments.speed)
    emulator = make_emulator(known, engine, quota=arguments.quota, verbose=arguments.verbose)
    tls, ca_file = None, None
    if arguments.tls:
        certificate = make_certificate(arguments.host, arguments.tls_folder)
        tls = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        tls.load_cert_chain(certificate.chain_file)
        ca_file = str(certificate.ca_file)
    service, port = await listen(emulator.service(), arguments.host, arguments.port, tls)
    admin, admin_port = await listen(emulator.remote_control(), "127.0.0.1", arguments.admin_port)

    endpoint = f"{'https' if tls else 'http'}://{arguments.host}:{port}"
    print("SchedulerX emulator: a local stand-in, NOT Alibaba Cloud. Nothing here runs a real job.")
    print(f"  endpoint   {endpoint}   (host of the Airflow connection)")
    print(f"  console    {endpoint}/console/")
    print(f"  admin      http://127.0.0.1:{admin_port}")
    if ca_file:
        print(f"  ca_file    {ca_file}")
    # For programs, such as airflow_provider_schedulerx.emulator.process.
    print(
        json.dumps({"endpoint": endpoint, "admin": f"http://127.0.0.1:{admin_port}", "ca_file": ca_file}),
        flush=True,
    )

    await stopped.wait()
    await service.cleanup()
    await admin.cleanup()
    if store:
        store.close()


def main() -> None:
    arguments = _arguments()
    try:
        with contextlib.suppress(KeyboardInterrupt):
            asyncio.run(_run(arguments))
    except (definitions.DefinitionError, OSError) as error:
        raise SystemExit(f"SchedulerX emulator: {error}") from None


if __name__ == "__main__":
    main()
