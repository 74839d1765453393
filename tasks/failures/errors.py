"""Every way a run or a command can fail: when, what to do, and the state the world is left in.

SlipwayError
├── ManifestError       slipway.yaml cannot be read, or does not say what it must.
├── ParameterError      What a run or a command was started with is wrong.
├── SourceError         The repository, the ref or the source folder cannot be had.
├── VersionError        Git cannot tell one safe version of the commit.
├── PrefectUnavailable  The Prefect server is not known, or does not answer as it must.
├── StackFailed         The local stack did not start, or one is running there already.
├── ReleaseBusy         Another run holds this app and environment.
├── Frozen              The environment takes no release now: a freeze window is in force.
├── TooExpensive        The release would cost more than the environment allows, or nobody can tell.
├── PreflightFailed     The project is not ready; holds every problem found.
├── TagTaken            The version's image tag already names another digest.
├── BuildFailed         A build did not end with an image.
├── ImageUnusable       An image that is built elsewhere is not there.
├── Vulnerable          An image has what the environment does not let through, or nobody can tell.
├── NoBackup            What is to be kept before a release could not be kept.
├── CandidateFailed     The new revision did not become ready.
├── ProofFailed         The new revision answered, but not as it must.
├── HookFailed          A hook before or after the release did not end as it must.
├── NotApproved         Somebody said no-go, or nobody decided in time.
├── TrafficConflict     Somebody else changed the service, or its traffic cannot be moved as planned.
├── TookTooLong         A stage, or the run, has reached its deadline.
├── PromotionRefused    There is no release to promote, or it is not what its commit says.
├── RollbackRefused     There is no release to go back to, or going back to it would do harm.
├── NotReconciled       What a dead run left behind could not be given back.
├── RecordLost          Somebody else has closed the record of the release that is under way.
├── RecordInDoubt       Nobody can tell whether a release stands, or a rollback is done in part: its record decides.
├── RepairRefused       What has drifted cannot be put right by shipping the release again.
├── ProvisionRefused    Terraform would do what nobody has agreed to, or somebody else has its state.
├── ProvisionFailed     Terraform did not make all that was to be made.
├── NeverReleased       The app has no release yet that this could work on.
├── CleanupRefused      The cloud's answer is in doubt, a cap is exceeded, or a saved plan does not hold any more.
├── RollbackTargetLost  What a rollback needs is gone after the clean-up.
└── CloudError          Any other failed call to Google Cloud.

`infra.gcp` raises GoogleError, the failed call as plain values; `explain.to_slipway` makes it one of these before
anybody sees it. The same as a page: docs/reference/errors.md.
"""

from __future__ import annotations

from typing import ClassVar

from tasks.failures.cause import Cause, Transient
from tasks.failures.redact import redact

UNTOUCHED = "Nothing was changed."
NOT_DEPLOYED = "Nothing was deployed."
NOT_MOVED = "Live traffic was not moved."
BEING_GIVEN_BACK = "All traffic is being given back."


class SlipwayError(Exception):
    """A failure that a person can act on; only its kinds below are raised.

    What is raised may say cause, remedy and state more closely than its kind does. All texts are masked: they go into
    logs, records and Prefect's database. All fields are positional to `Exception`, so that the error survives pickling
    between processes.
    """

    default_cause: ClassVar[Cause] = Cause.OTHER
    default_remedy: ClassVar[str] = ""
    default_state: ClassVar[str] = UNTOUCHED

    def __init__(
        self,
        problem: str,
        remedy: str = "",
        cause: Cause | None = None,
        link: str = "",
        state: str = "",
        transient: Transient = Transient.NO,
    ) -> None:
        self.problem = redact(problem)
        self.remedy = redact(remedy or self.default_remedy)
        self.cause = cause or self.default_cause
        self.link = redact(link)
        self.state = redact(state or self.default_state)
        self.transient = transient
        super().__init__(self.problem, self.remedy, self.cause, self.link, self.state, transient)

    def __str__(self) -> str:
        parts = [self.problem, self.remedy and f"To fix: {self.remedy}", self.link and f"See {self.link}", self.state]
        return "\n".join(part for part in parts if part)


class ManifestError(SlipwayError):
    """slipway.yaml cannot be read, or does not say what it must."""

    default_cause = Cause.INVALID_CONFIG
    default_remedy = "correct slipway.yaml as the message says, commit it, then start the run again."


class ParameterError(SlipwayError):
    """What a run or a command was started with is wrong."""

    default_cause = Cause.INVALID_CONFIG
    default_remedy = "start it again with parameters as its form, or --help, describes them."


class SourceError(SlipwayError):
    """The repository, the ref or the source folder cannot be had."""

    default_cause = Cause.INVALID_CONFIG
    default_remedy = "see that the repository, the ref and the folder exist and may be read, then start the run again."


class VersionError(SlipwayError):
    """Git cannot tell one safe version of the commit."""

    default_cause = Cause.INVALID_CONFIG
    default_remedy = "tag the commit as vMAJOR.MINOR.PATCH and push the tag, then start the run again."


class PrefectUnavailable(SlipwayError):
    """The Prefect server is not known, or does not answer as it must."""

    default_cause = Cause.NETWORK
    default_remedy = "start the Prefect server, or correct PREFECT_API_URL, then start again."


class StackFailed(SlipwayError):
    """The local stack did not start, or one is running there already."""

    default_cause = Cause.OTHER
    default_remedy = "read the log that the message names, then start it again."
    default_state = "No local stack was started."


class ReleaseBusy(SlipwayError):
    """Another run holds this app and environment."""

    default_cause = Cause.STATE_LOCK
    default_remedy = "wait for the other run to end, or cancel it, then start again."


class Frozen(SlipwayError):
    """The environment takes no release now: a freeze window is in force."""

    default_cause = Cause.OTHER
    default_remedy = "start the run after the window, or fill in `override` with your name and reason."
    default_state = NOT_MOVED


class TooExpensive(SlipwayError):
    """The release would cost more than the environment allows, or nobody can tell."""

    default_cause = Cause.INVALID_CONFIG
    default_remedy = "ask for less in slipway.yaml, raise `cost.max_floor`, or fill in `override` with name and reason."


class PreflightFailed(SlipwayError):
    """The project is not ready; holds every problem found."""

    default_cause = Cause.INVALID_CONFIG
    default_remedy = "run the commands that the message lists, then start the run again."


class TagTaken(SlipwayError):
    """The version's image tag already names another digest."""

    default_cause = Cause.ALREADY_EXISTS
    default_remedy = "release the commit under a new version; a version is never overwritten."
    default_state = NOT_DEPLOYED


class BuildFailed(SlipwayError):
    """A build did not end with an image."""

    default_cause = Cause.BUILD_STEP_FAILED
    default_remedy = "read the build's log, correct the source and start the run again."
    default_state = NOT_DEPLOYED


class ImageUnusable(SlipwayError):
    """An image that is built elsewhere is not there."""

    default_cause = Cause.IMAGE_MISSING
    default_remedy = "push the image, or correct its name in slipway.yaml, then start the run again."
    default_state = NOT_DEPLOYED


class Vulnerable(SlipwayError):
    """An image has what the environment does not let through, or nobody can tell."""

    default_remedy = "update what is named, or say in `scan.ignore` of the environment until when and why it may stay."
    default_state = NOT_MOVED


class NoBackup(SlipwayError):
    """What is to be kept before a release could not be kept."""

    default_cause = Cause.SERVICE_UNAVAILABLE
    default_remedy = (
        "correct what the message says and start the run again, or fill in `override` with your name and reason."
    )
    default_state = NOT_DEPLOYED


class CandidateFailed(SlipwayError):
    """The new revision did not become ready."""

    default_cause = Cause.CONTAINER_CRASH
    default_remedy = "read the revision's log, correct the service and ship again."
    default_state = NOT_MOVED


class ProofFailed(SlipwayError):
    """The new revision answered, but not as it must."""

    default_cause = Cause.OTHER
    default_remedy = "read the service's log, correct it and ship again."
    default_state = NOT_MOVED


class HookFailed(SlipwayError):
    """A hook before or after the release did not end as it must."""

    default_cause = Cause.OTHER
    default_remedy = "see why the hook failed, then start the run again."
    default_state = NOT_MOVED


class NotApproved(SlipwayError):
    """Somebody said no-go, or nobody decided in time."""

    default_cause = Cause.OTHER
    default_remedy = "start the run again once it may go on."
    default_state = NOT_MOVED


class TrafficConflict(SlipwayError):
    """Somebody else changed the service, or its traffic cannot be moved as planned."""

    default_cause = Cause.CONFLICT
    default_remedy = "see who changed the service (gcloud run services describe), then start the run again."
    default_state = "Traffic was left as it was found."


class TookTooLong(SlipwayError):
    """A stage, or the run, has reached its deadline."""

    default_cause = Cause.TIMEOUT
    default_remedy = "look at what it was waiting for; `timeouts` in slipway.yaml says how long each stage may take."
    default_state = "What had been changed is given back; the release record says what became of each service."


class PromotionRefused(SlipwayError):
    """There is no release to promote, or it is not what its commit says."""

    default_cause = Cause.OTHER
    default_remedy = "release the version in the environment that it is promoted from, then promote it again."


class RollbackRefused(SlipwayError):
    """There is no release to go back to, or going back to it would do harm."""

    default_cause = Cause.OTHER
    default_remedy = "choose another version: slipway history lists them."


class NotReconciled(SlipwayError):
    """What a dead run left behind could not be given back."""

    default_cause = Cause.SERVICE_UNAVAILABLE
    default_remedy = "correct what the message says, then start the reconcile flow for the environment."
    default_state = "Traffic is where the dead run left it."


class RecordLost(SlipwayError):
    """Somebody else has closed the record of the release that is under way."""

    default_cause = Cause.CONFLICT
    default_remedy = "look at the runs of this environment, then ship again."
    default_state = "What became of its traffic is in the record."


class RecordInDoubt(SlipwayError):
    """Nobody can tell whether a release stands, or a rollback is done in part: its record decides."""

    default_cause = Cause.SERVICE_UNAVAILABLE
    default_remedy = "see that the bucket can be reached; reconcile then does by itself what the record says."
    default_state = "The release has all its traffic. It is given back if its record does not say that it stands."


class RepairRefused(SlipwayError):
    """What has drifted cannot be put right by shipping the release again."""

    default_cause = Cause.CONFLICT
    default_remedy = "put the service right by hand, or ship a new version."


class ProvisionRefused(SlipwayError):
    """Terraform would do what nobody has agreed to, or somebody else has its state."""

    default_cause = Cause.CONFLICT
    default_remedy = "settle what the message says, then start the run again."


class ProvisionFailed(SlipwayError):
    """Terraform did not make all that was to be made."""

    default_cause = Cause.OTHER
    default_remedy = "correct what the message says, then start the run again: it goes on where this one ended."
    default_state = "What was made stays, and is in the record of the run."


class NeverReleased(SlipwayError):
    """The app has no release yet that this could work on."""

    default_cause = Cause.NOT_FOUND
    default_remedy = "ship it with the deploy flow first."


class CleanupRefused(SlipwayError):
    """The cloud's answer is in doubt, a cap is exceeded, or a saved plan does not hold any more."""

    default_cause = Cause.CONFLICT
    default_remedy = "start a dry run again when the cause is gone."
    default_state = "Nothing was deleted."


class RollbackTargetLost(SlipwayError):
    """What a rollback needs is gone after the clean-up."""

    default_cause = Cause.IMAGE_MISSING
    default_remedy = "ship that version again with the deploy flow; it is built anew."
    default_state = "What the journal lists is gone."


class CloudError(SlipwayError):
    """Any other failed call to Google Cloud."""

    default_cause = Cause.OTHER
    default_remedy = "run `slipway explain` on the message, then start the run again."
