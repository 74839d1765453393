"""The local Google Cloud: one process that clients take for the real one.

Begin with `server.py`, which opens the doors, and `services.py`, which lists every service. A room imports only rooms
below its own line, and never one beside it:

    apigateway, firestore, functions, kubernetes, monitoring, assets, sboms
    builds, run
    doors, management, logs, scheduler, secrets, apikeys, artifacts, sql, compute, storage, terraform
    iam
    projects
    kernel

`services.py`, `server.py` and `cli.py` stand above all of them. pyproject.toml holds the same order for import-linter.
A service that needs another's state asks the cloud for it by its type: `cloud.get(Policies)`.
"""
