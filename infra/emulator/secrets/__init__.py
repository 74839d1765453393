"""Secret Manager.

Begin with `state.py`, from which other services read, too; `api.py` is the API. May import iam, projects and kernel.
"""
