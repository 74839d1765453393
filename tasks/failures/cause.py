"""What kind of thing went wrong, and whether the same may go well a little later."""

from __future__ import annotations

from enum import StrEnum


class Cause(StrEnum):
    """What kind of thing went wrong; the same words appear in records, reports and `slipway explain`."""

    API_DISABLED = "api_disabled"
    PERMISSION = "permission"
    BILLING = "billing"
    QUOTA = "quota"
    RATE_LIMIT = "rate_limit"
    NOT_FOUND = "not_found"
    ALREADY_EXISTS = "already_exists"
    CONFLICT = "conflict"
    INVALID_CONFIG = "invalid_config"
    BUILD_STEP_FAILED = "build_step_failed"
    CONTAINER_CRASH = "container_crash"
    CONTAINER_PORT = "container_port"
    IMAGE_MISSING = "image_missing"
    ORG_POLICY = "org_policy"
    NETWORK = "network"
    TIMEOUT = "timeout"
    SERVICE_UNAVAILABLE = "service_unavailable"
    STATE_LOCK = "state_lock"
    OTHER = "other"


class Transient(StrEnum):
    """Would the same call, made again a little later, succeed without anybody doing anything?"""

    YES = "yes"
    NO = "no"
    MAYBE = "maybe"  # the failure alone does not tell; one more try is fair
