"""Things that are missing, already there, in use, changed by somebody else, or locked."""

from __future__ import annotations

from tasks.failures.catalogue.rule import MAYBE, NO, YES, rule
from tasks.failures.errors import Cause

_STATE_LOCK_REMEDY = (
    "Wait until the other Terraform run has ended and run again; if none is running, release its lock with "
    "`terraform force-unlock {lock}`."
)
_STATE_LOCK_LINK = "https://developer.hashicorp.com/terraform/language/state/locking"

STATE_LOCK = (
    rule(
        Cause.STATE_LOCK,
        NO,
        "Terraform cannot remove the lock: its ID is wrong.",
        "Copy the ID from the `Lock Info` of the failed run (on Cloud Storage a number), then `terraform force-unlock ID`.",
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
        r"(?:acquir|lock|releas|obtain)\w*(?: the)? state(?: lock)?\b",
        r"\.tflock|tfstate\.lock",
        r"state lock",
    ),
)

IMAGE_MISSING = (
    rule(
        Cause.IMAGE_MISSING,
        NO,
        "Something is missing: {image} does not exist.",
        "List what there is with `gcloud artifacts docker tags list {image}`; push the image, or correct its name, "
        "tag or digest.",
        "https://cloud.google.com/run/docs/troubleshooting",
        r"image [\['\"][^'\"\]\n]+[\]'\"]?:? (?:was |is |could )?not (?:be )?found",
        r"image (?:\S+ )?(?:was |is |could )?not (?:be )?found",
        r"image (?:\S+ )?does(?: not|n't) exist",
        r"manifest[_ ]unknown",
        r"manifest (?:for )?\S+ not found",
        r"failed to (?:fetch|resolve|pull|find|get)[^\n]{0,160}(?:manifest|image)[^\n]{0,160} not found",
        r"failed to resolve (?:source metadata|reference)[^\n]{0,300} not found",
        r"image does not exist locally",
        r"push_image_not_found",
        r"container_missing",
        r"no such image|reference does not exist|tag does not exist|unknown tag|no such manifest",
        r"index\.docker\.io/v2/\S+/manifests/\S+: unauthorized",  # so Docker Hub says that it has no such image
        r"pull access denied for (?!\S+\.pkg\.dev|\S*gcr\.io)",
        r"could not find (?:the )?image|failed to find image",
        r"errimagepull|imagepullbackoff|@sha256:\S+ (?:can't|cannot|could not) be pulled",
    ),
)

CONFLICT = (
    rule(
        Cause.CONFLICT,
        MAYBE,
        "The image is part of a multi-platform image that still exists.",
        "Delete the parent index first (`gcloud artifacts docker images delete PARENT --delete-tags`); the next "
        "clean-up then takes the children.",
        "https://cloud.google.com/artifact-registry/docs/docker/manage-images",
        r"dangling_parent_image",
        r"is referenced by (?:image|parent|index)",
    ),
    rule(
        Cause.CONFLICT,
        NO,
        "The image still has tags.",
        "Remove the tags first with `gcloud artifacts docker tags delete TAG`, or delete with `--delete-tags`.",
        "https://cloud.google.com/artifact-registry/docs/docker/manage-images",
        r"dangling_tag",
        r"still referenced by one or more tags",
        r"referenced by(?: \S+){0,3} tags?",
    ),
    rule(
        Cause.CONFLICT,
        NO,
        "Traffic still goes to {revision}, or it is the latest of its service.",
        "Move its traffic away with `gcloud run services update-traffic {service} --to-revisions=OTHER=100` "
        "before it is deleted.",
        "https://cloud.google.com/run/docs/managing/revisions",
        r"actively serving",
        r"cannot be (?:directly )?deleted",
        r"is serving traffic|currently serving",
    ),
    rule(
        Cause.CONFLICT,
        NO,
        "The resource is still in use or not empty.",
        "Remove what uses it first: the message names it, else find it with `gcloud asset search-all-resources "
        "--scope=projects/{project} --query=NAME`.",
        "https://cloud.google.com/apis/design/errors",
        r"is (?:already |still |currently )?(?:being )?(?:in use|used) by",
        r"resourceinuse|resource_in_use|inusebyanother",
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
        "Run again: it reads the present state first; if it stays, see who works on it in the audit log with "
        "`gcloud logging read 'logName:activity' --project {project}`.",
        "https://cloud.google.com/apis/design/errors",
        r"concurrent (?:policy|update|modif|change|operation|request|write|mutation|edit)",
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
        r"tag immutab|immutable[_ ]tags?|immutable tag|tags? (?:are|is) immutable",
        r"cannot (?:be )?(?:update|overwrit\w+|move\w*)(?: the)? tag",
        r"manifest_invalid[^\n]{0,80}immutab",
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
        "Adopt it, in Terraform with `terraform import ADDRESS {bucket}`, after a look at "
        "`gcloud storage buckets describe gs://{bucket}`.",
        "https://cloud.google.com/storage/docs/buckets#naming",
        r"you already own it",
        r"bucket[^\n]{0,80} already (?:exists|owned)",
    ),
    rule(
        Cause.ALREADY_EXISTS,
        NO,
        "What was to be created already exists.",
        "Use the one that is there (in Terraform: `terraform import ADDRESS ID`), or choose another name.",
        "https://cloud.google.com/apis/design/errors",
        r"already[ _]?exists?\b",
        r"alreadyexists|already_exists",
        r"already (?:been )?(?:taken|in use|created|contains an?|registered|managed by terraform|own(?:ed)?|defined in project)",
        r"duplicate (?:entry|key|name)",
        r"name (?:is )?(?:not available|unavailable|in use)",
        r"(?:can't|cannot) reuse",
    ),
)

GONE_FOR_SURE = (
    rule(
        Cause.NOT_FOUND,
        NO,
        "It looks as if {project} was deleted or never existed.",
        "Correct the project in slipway.yaml, or set it with `gcloud config set project`; a project deleted less than 30 days "
        "ago comes back with `gcloud projects undelete {project}`.",
        "https://cloud.google.com/resource-manager/docs/creating-managing-projects",
        r"project[^\n]{0,80} (?:has been|was|is|been) (?:deleted|shut ?down|marked for deletion|pending deletion)",
        r"project[^\n]{0,60} not found or (?:deleted|permission)",
        r"project[^\n]{0,60} (?:could not be found|does not exist|was not found|not found)",
        r"(?:unknown|invalid|no such) project",
        r"consumer_invalid|resource_project_invalid|project_deleted|user_project_missing",
        r"projectnotfound|invalid project (?:id|number|resource)",
    ),
    rule(
        Cause.NOT_FOUND,
        NO,
        "The workload identity pool or its provider does not exist, or is switched off.",
        "Correct workload_identity_provider: `gcloud iam workload-identity-pools providers list "
        "--workload-identity-pool=POOL --location=global` shows the names.",
        "https://cloud.google.com/iam/docs/manage-workload-identity-pools-providers",
        r"invalid_target[\s\S]{0,300}(?:disabled|deleted|exist)",
    ),
)

NOT_FOUND = (
    rule(
        Cause.NOT_FOUND,
        YES,
        "What was made only moments ago is not known everywhere yet.",
        "Wait a minute and run again; if it stays, look for it with `gcloud iam service-accounts list --project {project}`.",
        "https://cloud.google.com/iam/docs/access-change-propagation",
        r"propagation delay|not (?:yet )?propagated|eventual(?:ly)? consisten",
    ),
    rule(
        Cause.NOT_FOUND,
        NO,
        "The VPC connector does not exist or is not ready.",
        "Give its full name (projects/P/locations/R/connectors/NAME); `gcloud compute networks vpc-access connectors list "
        "--region {region} --project {project}` shows which are READY.",
        "https://cloud.google.com/vpc/docs/configure-serverless-vpc-access",
        r"vpc (?:access )?connector[^\n]{0,120} (?:not exist|not found|not ready|be found)",
    ),
    rule(
        Cause.NOT_FOUND,
        NO,
        "Artifact Registry does not have {repository}; pushing does not create it.",
        "Run `gcloud artifacts repositories create {repository} --repository-format=docker "
        "--location={region} --project={project}`.",
        "https://cloud.google.com/artifact-registry/docs/repositories/create-repos",
        r"name[ _]unknown",
        r"repository [\\'\"]*[\w./-]+[\\'\"]* (?:was )?not found",
        r"repo(?:sitory)? does not exist",
    ),
    rule(
        Cause.NOT_FOUND,
        NO,
        "Secret Manager does not have {secret}, or not that version of it.",
        "Add a version with `gcloud secrets versions add {secret} --data-file=FILE --project {project}` (create the "
        "secret first with `gcloud secrets create {secret}`).",
        "https://cloud.google.com/secret-manager/docs/add-secret-version",
        r"secret[^\n]{0,200} (?:was not found|not found|does not exist|has no versions)",
        r"secret version[^\n]{0,120} (?:disabled|destroyed)",
    ),
    rule(
        Cause.NOT_FOUND,
        NO,
        "IAM does not know {account}.",
        "Create it with `gcloud iam service-accounts create NAME --project {project}`, or correct its name.",
        "https://cloud.google.com/iam/docs/service-accounts-create",
        r"service ?account[^\n]{0,160} (?:does not exist|not found|was not found|doesn't exist)",
        r"unknown service account",
        r"not found[;:,][^\n]{0,30} gaia",
    ),
    rule(
        Cause.NOT_FOUND,
        NO,
        "Cloud Storage does not have {bucket}.",
        "Create it with `gcloud storage buckets create gs://{bucket} --project {project}`, or correct its name.",
        "https://cloud.google.com/storage/docs/creating-buckets",
        r"bucket[^\n]{0,120} (?:does not exist|doesn't exist|not found|was not found|could not be found)",
        r"nosuchbucket",
    ),
    rule(
        Cause.NOT_FOUND,
        NO,
        "Something that was asked for does not exist.",
        "Check the name, the project and the region in slipway.yaml against `gcloud run services list --project {project}` "
        "(or the list command of that kind).",
        "https://cloud.google.com/apis/design/errors",
        r"requested entity was not found",
        r"match(?:ed|es)? no \w+|no (?:\w+ ){0,2}match(?:ed|es|ing)\b",
        r"(?:was|were|is|are|could|can) not (?:be )?found",
        r"\bnot[_ ]?found\b",
        r"cannot find|can't find|couldn't find|could not find|unable to find|unable to locate|failed to find (?!attribute)",
        r"does(?: not|n't) exist|do(?: not|n't) exist|didn't exist|no longer exists?|non-?existent",
        r"no such (?:object|key|resource|service|entity|host|service account|revision|secret|operation)",
        r"nosuch\w+|notfound|routemissing",
        r"has (?:already )?been deleted|does not exist or is deleted|is deleted|was deleted",
        r"\berror:? 404\b|\b404\b[^\n]{0,20}(?:not found|client error)|http(?:error)? 404|status(?: code)?:? 404|\"code\" ?: ?404",
    ),
)
