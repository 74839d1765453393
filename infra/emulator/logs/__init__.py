"""Cloud Logging.

Begin with `entries.py`, into which other services write, too; `api.py` is the API. May import iam, projects and kernel.
"""
