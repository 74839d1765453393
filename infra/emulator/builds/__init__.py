"""Cloud Build: builds that really run, and the local mirror of base images.

Begin with `service.py`, the API, and follow a build through `dispatch.py` and `execution.py`; `docker.py` and
`builders.py` make images. May import storage, artifacts, secrets, logs, iam, projects and kernel.
"""
