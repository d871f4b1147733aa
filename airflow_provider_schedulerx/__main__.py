"""``python -m airflow_provider_schedulerx``: the commands of :mod:`airflow_provider_schedulerx.cli`."""

from airflow_provider_schedulerx.cli import main

main()
