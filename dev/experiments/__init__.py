"""Experiments with a real Airflow: what faults do to runs, and how many runs wait at once."""
