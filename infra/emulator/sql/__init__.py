"""Cloud SQL Admin: instances, their backups, and the operations that make them. No database runs.

Begin with `state.py`; `api.py` are the routes of v1 and v1beta4, which are the same. May import iam, projects, kernel.
"""
