"""Every way a run can fail, with its cause, its remedy and the state the world is left in.

SlipwayError
├── ManifestError        slipway.yaml cannot be read or does not say what it must
├── ParameterError       a flow parameter is wrong
├── SourceError          the repository, the ref or the source folder cannot be had
├── VersionError         git cannot tell one safe version
├── PreflightFailed      the project is not ready; holds every problem found
├── TagTaken             the version's image tag already names another digest
├── BuildFailed          a Cloud Build step failed
├── CandidateFailed      the new revision did not become ready
├── ProofFailed          the candidate answered, but not as it must
├── TrafficConflict      somebody else changed the service meanwhile
├── ReleaseBusy          another run holds this app and environment
└── CloudError           any other failed call to Google Cloud
"""

from __future__ import annotations

from enum import StrEnum

from tasks.failures.redact import redact


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


UNTOUCHED = "Nothing was changed."
NOT_MOVED = "Live traffic was not moved."


class SlipwayError(Exception):
    """A failure that a person can act on. Its texts are masked: they go into logs, records and Prefect's database.

    All fields are positional to `Exception`, so that the error survives pickling between processes.
    """

    default_cause = Cause.OTHER

    def __init__(
        self,
        problem: str,
        remedy: str = "",
        cause: Cause | None = None,
        link: str = "",
        state: str = UNTOUCHED,
        transient: Transient = Transient.NO,
    ) -> None:
        problem, remedy = redact(problem), redact(remedy)
        self.problem = problem
        self.remedy = remedy
        self.cause = cause or self.default_cause
        self.link = link
        self.state = state
        self.transient = transient
        super().__init__(problem, remedy, self.cause, link, state, transient)

    def __str__(self) -> str:
        parts = [self.problem, self.remedy and f"To fix: {self.remedy}", self.link and f"See {self.link}", self.state]
        return "\n".join(part for part in parts if part)


class ManifestError(SlipwayError):
    default_cause = Cause.INVALID_CONFIG


class ParameterError(SlipwayError):
    default_cause = Cause.INVALID_CONFIG


class SourceError(SlipwayError):
    default_cause = Cause.INVALID_CONFIG


class VersionError(SlipwayError):
    default_cause = Cause.INVALID_CONFIG


class PreflightFailed(SlipwayError):
    default_cause = Cause.INVALID_CONFIG


class TagTaken(SlipwayError):
    default_cause = Cause.ALREADY_EXISTS


class BuildFailed(SlipwayError):
    default_cause = Cause.BUILD_STEP_FAILED


class CandidateFailed(SlipwayError):
    default_cause = Cause.CONTAINER_CRASH


class ProofFailed(SlipwayError):
    pass


class TrafficConflict(SlipwayError):
    default_cause = Cause.CONFLICT


class ReleaseBusy(SlipwayError):
    default_cause = Cause.STATE_LOCK


class CloudError(SlipwayError):
    pass
