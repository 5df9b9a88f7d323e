"""Benchmarks: a data set, a protocol and a method become one record.

`data` turns a system's name or a file into a `Dataset`. `task` holds the protocol: fit on the first part,
forecast from many later starts in one batch, score; `run_task` returns a plain dictionary and never raises.
`runner` works through a list of tasks, in parallel where asked. `records` writes each dictionary as a line
of JSON as soon as it exists, and reads the lines back.

Nothing here draws or prints; `chaosfit.report` does.
"""
