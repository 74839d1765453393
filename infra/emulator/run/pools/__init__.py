"""Worker pools of Cloud Run: so many instances, shared out among revisions, that nobody sends requests to.

Begin with `system.py`; `crew.py` keeps the instances there, `defaults.py` has what is filled in and refused. Revisions,
their instances and what happens to both are those of services. May import run, and what run may; nothing in run but
`knative/` imports it.
"""
