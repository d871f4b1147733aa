"""The hook's calls on jobs that run by themselves; those on single job instances are its own."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

from airflow_provider_schedulerx import api

if TYPE_CHECKING:
    from airflow_provider_schedulerx.api.connection.settings import Scope
    from airflow_provider_schedulerx.api.models import Job, JobInstance
    from airflow_provider_schedulerx.api.wire.calls import Designation
    from airflow_provider_schedulerx.hooks.bounded import Transport


class JobsMixin:
    """Starts and lists runs of jobs. Every call may raise what those of the hook do."""

    if TYPE_CHECKING:
        log: Any

        @property
        def scope(self) -> Scope: ...

        def get_conn(self) -> Transport: ...

    def execute_job(
        self,
        job_id: int | str,
        instance_parameters: Any = None,
        *,
        check_job_status: bool = True,
        designation: Designation | None = None,
    ) -> int:
        """Start a run of a job (``ExecuteJob``).

        There is no idempotency token: after a
        :class:`~airflow_provider_schedulerx.exceptions.SchedulerXAmbiguousError` a run may exist, so
        check :meth:`list_job_instances` before starting another.

        :param job_id: id of the job.
        :param instance_parameters: what the job gets from ``context.getInstanceParameters()``: a str, or a dict or
            list that becomes compact JSON; at most 1,000 bytes of UTF-8 (documented for workflows).
        :param check_job_status: refuse a disabled job; False runs it anyway.
        :param designation: which worker has to run it; None lets the service choose.
        :return: the ``JobInstanceId``.
        :raises SchedulerXSameSecondError: if the job was started in the same second already; nothing was started.
        """
        started = self.get_conn().perform(
            api.calls.execute_job(
                self.scope,
                job_id,
                instance_parameters,
                check_job_status=check_job_status,
                designation=designation,
            )
        )
        self.log.info(
            "Started job %s: JobInstanceId=%s, RequestId=%s",
            job_id,
            started.job_instance_id,
            started.request_id,
        )
        return started.job_instance_id

    def list_job_instances(
        self,
        job_id: int | str,
        *,
        limit: int | None = None,
        status: int | None = None,
        start: float | None = None,
        end: float | None = None,
    ) -> list[JobInstance]:
        """List runs of a job, newest first, through all pages (``GetJobInstanceList``).

        Before 2024 the service listed only the 10 newest; old editions still do.

        :param limit: how many at most; None reads all pages.
        :param status: only runs in this state, such as ``JobInstanceStatus.RUNNING``.
        :param start: only runs from this time on, epoch seconds. Which of a run's times counts is not documented.
        :param end: only runs up to this time, epoch seconds.
        """
        found: dict[int, JobInstance] = {}
        page_num = 1
        while limit is None or len(found) < limit:
            page = self.get_conn().perform(
                api.calls.get_job_instance_list(
                    self.scope,
                    job_id,
                    page_num,
                    status=None if status is None else int(status),
                    start_ms=None if start is None else math.floor(start * 1000),
                    end_ms=None if end is None else math.ceil(end * 1000),
                )
            )
            before = len(found)
            found.update((instance.job_instance_id, instance) for instance in page)
            # A page that is not full may still have a successor, and an old edition repeats its only page.
            if len(found) == before:
                break
            page_num += 1
        newest = sorted(found.values(), key=lambda instance: instance.job_instance_id, reverse=True)
        return newest[:limit]

    def get_job(self, job_id: int | str) -> Job:
        """Return the definition of a job (``GetJobInfo``)."""
        return self.get_conn().perform(api.calls.get_job_info(self.scope, job_id))

    def list_jobs(self, job_name: str | None = None, *, is_enabled: bool | None = None) -> list[Job]:
        """List all jobs of the group, through all pages (``ListJobs``).

        :param job_name: passed on as ``JobName``, which may match parts of names.
        :param is_enabled: only those that are enabled, or disabled; None lists both.
        """
        status = None if is_enabled is None else str(int(is_enabled))
        recipe = api.names.list_all(
            lambda page_num: api.calls.list_jobs(self.scope, page_num, job_name, status)
        )
        return api.recipes.drive(recipe, self.get_conn().perform)
