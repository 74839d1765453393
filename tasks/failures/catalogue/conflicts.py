"""Things that are already there, in use, changed by somebody else, or locked."""

from __future__ import annotations

from tasks.failures.catalogue.logs import AUDIT_LOG
from tasks.failures.catalogue.rule import MAYBE, NO, YES, rule
from tasks.failures.cause import Cause

_STATE_LOCK_REMEDY = (
    "Wait until the other Terraform run has ended and run again; if none is running, release its lock with "
    "[`terraform force-unlock {lock}`|`terraform force-unlock` and the ID that the `Lock Info` gives]."
)


_STATE_LOCK_LINK = "https://developer.hashicorp.com/terraform/language/state/locking"


STATE_LOCK = (
    rule(
        Cause.STATE_LOCK,
        NO,
        "Terraform cannot remove the lock: its ID is wrong.",
        "Copy the ID from the `Lock Info` of the failed run (on Cloud Storage a number) and give that to `terraform force-unlock`.",
        "https://developer.hashicorp.com/terraform/cli/commands/force-unlock",
        r"failed to unlock state",
    ),
    rule(
        Cause.STATE_LOCK,
        MAYBE,
        "The Terraform state is locked by another run, or by one that died.",
        _STATE_LOCK_REMEDY,
        _STATE_LOCK_LINK,
        r"state lock(?=[\s\S]*(?:lock info:|already locked|conditionalcheckfailed|workspace (?:is )?(?:already )?locked))",
        r"tflock[\"'\s\S]{0,40}failed(?=[\s\S]*lock info:)",
        r"(?:state|stack)(?: file)? (?:is )?(?:already |currently )?locked",
        r"workspace (?:is )?already locked",
        r"(?:failed|error) (?:to )?(?:unlock\w*|releas\w+)(?: the)? (?:state|lock)",
        r"lock id [^\n]{0,80} does not match",
    ),
    rule(
        Cause.STATE_LOCK,
        YES,
        "Another Terraform run took the state's lock at the same moment.",
        _STATE_LOCK_REMEDY,
        _STATE_LOCK_LINK,
        r"state lock(?=[\s\S]*(?:\b412\b|pre-?conditions?|conditionnotmet|resource temporarily unavailable|timeout))",
        r"(?:tflock|lock file|lock_file)[\s\S]{0,120}(?:\b412\b|pre-?conditions?|conditionnotmet)",
        r"error (?:locking|acquiring|obtaining)(?: the)? (?:state|lock)(?=[\s\S]*(?:\b412\b|conditionnotmet))",
    ),
)


STATE_LOCK_IN_GENERAL = (
    rule(
        Cause.STATE_LOCK,
        YES,
        "The lock of the Terraform state could not be had.",
        _STATE_LOCK_REMEDY,
        _STATE_LOCK_LINK,
        r"(?:acquir|lock|unlock|releas|obtain)\w*(?: the)? state(?: lock)?",
        r"\.tflock|tfstate\.lock",
        r"state lock",
    ),
)


CONFLICT_FOR_SURE = (
    rule(
        Cause.CONFLICT,
        YES,
        "Something else is going on with the same thing at the moment.",
        f"Run again in a minute; if it stays, see who works on it in the audit log {AUDIT_LOG}.",
        "https://cloud.google.com/apis/design/errors",
        r"conflicting (?:operations?|updates?|requests?|changes?|writes?)",
        r"conflict\w* with (?:another|a concurrent|an ongoing)",
        r"concurrent policy changes",
        r"unable to queue the operation",
        r"(?:another|other) (?:\w+ ){0,2}operations? (?:\S+ ){0,4}(?:in progress|running|pending)",
    ),
)


CONFLICT = (
    rule(
        Cause.CONFLICT,
        MAYBE,
        "The image is part of a multi-platform image that still exists.",
        "Delete the parent index first, tags and all, at https://console.cloud.google.com/artifacts; the "
        "next clean-up then takes the children.",
        "https://cloud.google.com/artifact-registry/docs/docker/manage-images",
        r"dangling_parent_image",
        r"is referenced by (?:image|parent|index)",
    ),
    rule(
        Cause.CONFLICT,
        NO,
        "The image still has tags.",
        "Remove the tags first at https://console.cloud.google.com/artifacts, or delete the image with "
        "`--delete-tags`.",
        "https://cloud.google.com/artifact-registry/docs/docker/manage-images",
        r"dangling_tag",
        r"still referenced by one or more tags",
        r"referenced by(?: \S+){0,3} tags?",
    ),
    rule(
        Cause.CONFLICT,
        NO,
        "Traffic still goes to [the revision {revision}|the revision], or it is the latest of its service.",
        "Move its traffic to another revision before it is deleted: [`gcloud run revisions list --service "
        "{service} --region {service_region} --project "
        "{service_project}`|https://console.cloud.google.com/run] shows which there are.",
        "https://cloud.google.com/run/docs/managing/revisions",
        r"actively serving",
        r"cannot be (?:directly )?deleted",
        r"is serving traffic|currently serving",
    ),
    rule(
        Cause.CONFLICT,
        NO,
        "The resource is still in use or not empty.",
        "Remove what uses it first: the message names it, else look for its name at "
        "https://console.cloud.google.com/cloud-resource-search[?project={project}].",
        "https://cloud.google.com/apis/design/errors",
        r"is (?:already |still |currently )?(?:being )?(?:in use|used) by",
        r"resourceinuse\w*|resource_in_use\w*",
        r"(?:is )?not empty|containing objects",
        r"still (?:has|have|contains|in use|using|referenced|attached|associated)",
        r"in use and cannot|being (?:accessed|used) by|referenced by|(?:in|being) use by|objects? depends? on it|dependent objects",
        r"has (?:dependent|active|attached|child)|contains (?:other )?resources",
        r"must be deleted (?:first|before)",
    ),
    rule(
        Cause.CONFLICT,
        NO,
        "The remote branch or tag in git has moved.",
        "Take its commits over with `git pull --rebase`, then push again.",
        "https://git-scm.com/docs/git-push#_note_about_fast_forwards",
        r"non-fast-forward|\(fetch first\)|updates were rejected",
        r"\[rejected\]",
    ),
    rule(
        Cause.CONFLICT,
        MAYBE,
        "The resource is not in the state that this takes: it exists already, or something else is going on with it.",
        "See its state with the `describe` command of that kind, then wait and run again, or choose another name.",
        "https://cloud.google.com/apis/design/errors",
        r"subject of a conflict(?![^\n]*already exists)",
        r"not in an appropriate state|invalid \w+ state for|cannot modify allocated ranges",
    ),
    rule(
        Cause.CONFLICT,
        YES,
        "Somebody else changed the same thing at the same time.",
        "Run again: it reads the present state first; if it stays, see who works on it in the audit log "
        "[with `gcloud logging read 'logName:activity' --project {project}`|at "
        "https://console.cloud.google.com/logs].",
        "https://cloud.google.com/apis/design/errors",
        r"concurrent (?:polic(?:y|ies)|updates?|modif\w+|changes?|operations?|writes?|mutations?|edits?)",
        r"concurrently",
        r"read-modify-write",
        r"\betag[^\n]{0,60}(?:match|stale|conflict|outdated|changed|invalid|expected)|(?:invalid|stale|mismatch\w*|outdated) etag",
        r"was specified but current version",
        r"unable to queue the operation",
        r"not in (?:an?|the) (?:\w+ )?state\b",
        r"operation(?: \S+){0,6} (?:is |are )?(?:already |currently |still )?(?:in[- ]progress|in[- ]flight|running|pending|ongoing)",
        r"(?:already|currently|another|previous)(?: \S+){0,5} (?:in progress|in flight|underway|running)",
        r"another (?:operation|update|deployment|process|change|request)",
        r"is (?:currently |still |already )?being (?:created|updated|deleted|modified|provisioned|reconciled|processed|deployed)",
        r"(?:invalid|conditional|mismatch\w*)[^\n]{0,30} fingerprint|fingerprint[^\n]{0,60} (?:mismatch|invalid|does not match)",
        r"(?:has been|was) (?:modified|changed|updated)(?: since| by|;|,| concurrently)",
        r"please apply your changes to the latest version",
        r"resource(?: \S+)? (?:is )?not ready",
        r"(?:^|[ :(])aborted: |status\.aborted|statuscode\.aborted|\"aborted\"|code = aborted|google\.api_core\.exceptions\.aborted",
        r"saved plan is stale",
        r"optimisticlock|optimistic lock",
        r"transaction(?: \S+){0,4} (?:conflict|contention|aborted)",
        r"lock contention|too much contention",
        r"conditionnotmet|precondition failed|pre-?conditions? you specified did not hold",
        r"generation (?:mismatch|does not match|has changed)",
    ),
)


ALREADY_EXISTS = (
    rule(
        Cause.ALREADY_EXISTS,
        NO,
        "The image tag is taken, and the repository does not let tags move.",
        "Use a new tag: commit, or set a new version with `git tag vX.Y.Z`, then run again.",
        "https://cloud.google.com/artifact-registry/docs/docker/manage-images#immutable-tags",
        r"tag immutab\w+|immutable[_ ]tags?|immutable tag|tags? (?:are|is) immutable",
        r"cannot (?:be )?(?:update|overwrit\w+|move\w*)(?: the)? tag",
        r"manifest_invalid[^\n]{0,80}immutab\w+",
    ),
    rule(
        Cause.ALREADY_EXISTS,
        NO,
        "Somebody else has a bucket of this name.",
        "Choose another name: bucket names are shared by the whole world, see "
        "https://cloud.google.com/storage/docs/buckets#naming.",
        "https://cloud.google.com/storage/docs/buckets#naming",
        r"bucket name is not available|bucket namespace is shared",
    ),
    rule(
        Cause.ALREADY_EXISTS,
        NO,
        "The bucket exists already.",
        "Adopt it (in Terraform with `terraform import`)[, after a look at `gcloud storage buckets describe "
        "gs://{bucket}`| after a look at https://console.cloud.google.com/storage/browser].",
        "https://cloud.google.com/storage/docs/buckets#naming",
        r"you already own it",
        r"bucket[^\n]{0,80} already (?:exists|owned)",
    ),
    rule(
        Cause.ALREADY_EXISTS,
        NO,
        "What was to be created already exists.",
        "Use the one that is there (in Terraform: `terraform import`), or choose another name.",
        "https://cloud.google.com/apis/design/errors",
        r"already[ _]?exists?\b",
        r"alreadyexists|already_exists",
        r"already (?:been )?(?:taken|in use|created|contains an?|registered|managed by terraform|own(?:ed)?|defined in project)",
        r"duplicate (?:entry|key|name)",
        r"name (?:is )?(?:not available|unavailable|in use)",
        r"(?:can't|cannot) reuse",
    ),
)
