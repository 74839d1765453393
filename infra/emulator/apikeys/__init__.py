"""API keys: what lets a program call an API in the name of a project.

Begin with `state.py`, from which the local gateways read, too; `api.py` is the API. May import iam, projects and
kernel.
"""
