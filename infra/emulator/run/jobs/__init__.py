"""Jobs of Cloud Run: their executions really run, task by task, in the runtimes that instances have too.

Begin with `system.py`, which puts its parts together, then `lifecycle.py` for jobs, `executions.py` for what they start
and `attempts.py` for one container's run; `*_api.py` are the APIs. May import run, and what run may; nothing in run but
`knative/` imports it.
"""
