"""Apache Airflow provider for Alibaba Cloud SchedulerX 2.0."""

__version__ = "0.1.0"
