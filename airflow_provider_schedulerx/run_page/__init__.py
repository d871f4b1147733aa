"""The run, drawn on the task's own page in Airflow 3.1 and later.

The task or its trigger stores a snapshot of the run as an XCom (``writer``, ``queue``), and the API server draws what is
stored (``app``, ``content``). It never calls SchedulerX: that would need credentials, a way out, and the account's quota.
"""

#: Key of the XCom that holds the snapshot (:mod:`~airflow_provider_schedulerx.run_page.snapshot`).
XCOM_RUN = "schedulerx_run"

#: Keys of the XComs that hold the URL of a run in the console, as Airflow names those of extra links: of a workflow, of a
#: job.
XCOM_CONSOLE_LINK, XCOM_JOB_CONSOLE_LINK = "_link_WorkflowInstanceLink", "_link_JobInstanceLink"

#: Where the API server mounts the page, below the path of ``[api] base_url``.
URL_PREFIX = "/schedulerx"
