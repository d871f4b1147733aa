"""What a connection can do, and what the service does where its documentation is silent, found by asking it.

``findings``
    What was found out, and the list of everything that may be.
``client``, ``session``
    How the service is asked, and what checks share.
``checks``
    One function for each thing to find out. They only read, except those of ``checks.started``.
``examination``
    Runs the checks, and never raises.
``advice``, ``scrubbing``, ``rendering``
    What to set, what must not be shown, and the report.

Only the command line imports this package.
"""
