"""Cloud Run: services and revisions as Google's APIs show them, over instances that really run.

Begin with `system.py`, which puts its parts together, then `lifecycle.py`; `*_api.py` and `knative/` are the APIs.
May import artifacts, secrets, logs, iam, projects and kernel.
"""
