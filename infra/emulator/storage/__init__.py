"""Cloud Storage: its JSON, XML and upload interfaces over one set of objects.

Begin with `objects.py`; `web.py` is what its interfaces share. May import iam, projects and kernel.
"""
