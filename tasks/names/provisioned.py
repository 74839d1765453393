"""The names of what Terraform makes around an app, and of its state. Pure."""

from __future__ import annotations

import hashlib

from tasks.names.naming import fitted

GATEWAY_LIMIT = 49  # https://cloud.google.com/api-gateway/docs/reference/rest/v1/projects.locations.gateways/create
CONFIG_LIMIT = 63  # of APIs, configs and keys
BUCKET_LIMIT = 63
_CONFIG_HASH = 10


def bucket_name(project: str, app: str, key: str) -> str:
    return f"{project}-{app}-{key}"


def gateway_id(app: str, environment: str) -> str:
    """Also of its API: what no other app or environment has."""
    name = f"{app}-{environment}"
    return fitted(name, name, GATEWAY_LIMIT, changed=False)


def config_id(app: str, environment: str, *parts: str) -> str:
    """A config cannot be changed: its name changes with all that it says."""
    digest = hashlib.sha256("\n".join(parts).encode()).hexdigest()[:_CONFIG_HASH]
    return f"{gateway_id(app, environment)}-{digest}"


def key_id(app: str, environment: str, generation: int) -> str:
    """A deleted key keeps its name for 30 days, so each generation has its own."""
    return f"{gateway_id(app, environment)}-k{generation}"


def generation_of(key: str) -> int:
    """Of a key's id, or its full name; 0 where the name says none."""
    _, found, number = key.rpartition("-k")
    return int(number) if found and number.isascii() and number.isdigit() else 0


def key_secret(app: str, environment: str) -> str:
    """The secret that the key is kept in."""
    return f"{app}-{environment}-api-key"


def folder(app: str, environment: str) -> str:
    """In the environment's bucket: Terraform's state, its lock, and the records of runs."""
    return f"provision/{app}/{environment}"


def state_lock(app: str, environment: str) -> str:
    """The object that is there while somebody works on the state: of Terraform's gcs backend."""
    return f"{folder(app, environment)}/default.tflock"


def state(app: str, environment: str) -> str:
    """The object that the state is kept in."""
    return f"{folder(app, environment)}/default.tfstate"
