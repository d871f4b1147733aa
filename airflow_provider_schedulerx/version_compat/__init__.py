"""Adapts to the versions of Airflow that we run on, 2.11 to 3.3, where their own compat layer does not level them.

One module for each thing that differs. What has moved or been renamed comes from
``airflow.providers.common.compat.sdk`` everywhere.
"""
