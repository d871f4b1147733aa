"""A local stand-in for SchedulerX 2.0 that speaks the real wire protocol.

It exists so that anyone can run and test DAGs without an Alibaba Cloud account. It is **not** the
service: what the service's documentation leaves open, it decides in one way, which the modules
say where they do so. Start it with ``python -m airflow_provider_schedulerx.emulator``.
"""
