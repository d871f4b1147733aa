"""The SchedulerX 2.0 service, OpenAPI version 2019-04-30, without any import of Airflow.

Data flows one way through these modules::

    settings -> calls -> signing -> transport -> answers -> models
                (query)  (headers)  (network)    (errors)   (values)

``calls`` says what each operation takes and gives, ``signing`` and ``answers`` hold no
network code, so that the synchronous and the asynchronous side share them.
"""
