"""Starts real things for tests and experiments: Airflow, PostgreSQL, Redis."""
