"""Things that are missing."""

from __future__ import annotations

from tasks.failures.catalogue.rule import NO, YES, rule
from tasks.failures.cause import Cause

IMAGE_MISSING = (
    rule(
        Cause.IMAGE_MISSING,
        NO,
        "Something is missing: [the image {image}|the image] does not exist.",
        "[List what there is with `gcloud artifacts docker tags list {package}`|See what there is at "
        "https://console.cloud.google.com/artifacts]; push the image, or correct its name, tag or digest.",
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

GONE_FOR_SURE = (
    rule(
        Cause.NOT_FOUND,
        NO,
        "There is no such region or zone[ as {region}], or this project may not use it.",
        "Correct it in slipway.yaml: `gcloud run regions list` shows the regions of Cloud Run.",
        "https://cloud.google.com/run/docs/locations",
        r"location_policy_violated",
        r"location \S+ is not found or access is unauthorized",
    ),
    rule(
        Cause.NOT_FOUND,
        NO,
        "[Project {project}|The project] was deleted.",
        "If that was less than 30 days ago, it comes back[ with `gcloud projects undelete {project}`| at "
        "https://console.cloud.google.com/cloud-resource-manager]; else correct the project in slipway.yaml.",
        "https://cloud.google.com/resource-manager/docs/creating-managing-projects",
        r"project\S* [\"'\[(]?[\w.:-]*[\"'\])]? ?(?:has been|was|is|been) (?:deleted|shut ?down|marked for deletion|pending deletion)",
        r"project_deleted",
    ),
    rule(
        Cause.NOT_FOUND,
        NO,
        "It looks as if [project {project}|the project] was deleted or never existed.",
        "Correct the project in slipway.yaml; `gcloud projects list` shows those that you may see.",
        "https://cloud.google.com/resource-manager/docs/creating-managing-projects",
        r"project(?: id| number)?:? [\"'\[(#]*[\w.:-]*[\"'\])]*:? (?:(?:could|was) )?not (?:be )?found",
        r"project(?: id| number)?:? [\"'\[(#]*[\w.:-]*[\"'\])]* does not exist",
        r"(?:unknown|invalid|no such) project",
        r"consumer_invalid|resource_project_invalid|user_project_missing",
        r"projectnotfound|invalid project (?:id|number|resource)",
    ),
    rule(
        Cause.NOT_FOUND,
        NO,
        "The workload identity pool or its provider does not exist, or is switched off.",
        "Correct workload_identity_provider: the pools and their providers are listed at "
        "https://console.cloud.google.com/iam-admin/workload-identity-pools[?project={project}].",
        "https://cloud.google.com/iam/docs/manage-workload-identity-pools-providers",
        r"invalid_target[\s\S]{0,300}(?:disabled|deleted|exist)",
    ),
)

NOT_FOUND = (
    rule(
        Cause.NOT_FOUND,
        YES,
        "What was made only moments ago is not known everywhere yet.",
        "Wait a minute and run again; if it stays, see whether it is there at https://console.cloud.google.com/iam-admin.",
        "https://cloud.google.com/iam/docs/access-change-propagation",
        r"propagation delay|not (?:yet )?propagated|eventual(?:ly)? consisten",
    ),
    rule(
        Cause.NOT_FOUND,
        NO,
        "The VPC connector does not exist or is not ready.",
        "Give its full name, projects/…/locations/…/connectors/…; [`gcloud compute networks vpc-access "
        "connectors list --region {region} --project "
        "{project}`|https://console.cloud.google.com/networking/connectors] shows which are READY.",
        "https://cloud.google.com/vpc/docs/configure-serverless-vpc-access",
        r"vpc (?:access )?connector[^\n]{0,120} (?:not exist|not found|not ready|be found)",
    ),
    rule(
        Cause.NOT_FOUND,
        NO,
        "Artifact Registry does not have [the repository {repository}|the repository]; pushing does not create it.",
        "[Run `gcloud artifacts repositories create {repository} --repository-format=docker "
        "--location={repository_location} --project={repository_project}`|Create it at "
        "https://console.cloud.google.com/artifacts, or correct its name].",
        "https://cloud.google.com/artifact-registry/docs/repositories/create-repos",
        r"name[ _]unknown",
        r"repository [\\'\"]*[\w./-]+[\\'\"]* (?:was )?not found",
        r"repo(?:sitory)? does not exist",
    ),
    rule(
        Cause.NOT_FOUND,
        NO,
        "Secret Manager does not have [the secret {secret}|the secret], or not that version of it.",
        "[See which versions it has with `gcloud secrets versions list {secret} --project "
        "{secret_project}`|See what there is at https://console.cloud.google.com/security/secret-manager]; "
        "create the secret, or add a version.",
        "https://cloud.google.com/secret-manager/docs/add-secret-version",
        r"secrets?(?!\.)[^\n]{0,200} (?:was not found|not found|does not exist|has no versions)",
        r"secret version[^\n]{0,120} (?:disabled|destroyed)",
    ),
    rule(
        Cause.NOT_FOUND,
        NO,
        "IAM does not know [the service account {account_name}|the service account].",
        "[Create it with `gcloud iam service-accounts create {account_name} --project "
        "{account_project}`|Create it at https://console.cloud.google.com/iam-admin/serviceaccounts], or "
        "correct its name.",
        "https://cloud.google.com/iam/docs/service-accounts-create",
        r"service ?account[^\n]{0,160} (?:does not exist|not found|was not found|doesn't exist)",
        r"unknown service account",
        r"not found[;:,][^\n]{0,30} gaia",
    ),
    rule(
        Cause.NOT_FOUND,
        NO,
        "Cloud Storage does not have [the bucket {bucket}|the bucket].",
        "[Create it with `gcloud storage buckets create gs://{bucket} --project {project}`|Create it at "
        "https://console.cloud.google.com/storage/browser], or correct its name.",
        "https://cloud.google.com/storage/docs/creating-buckets",
        r"buckets?(?!\.)[^\n]{0,120} (?:does not exist|doesn't exist|not found|was not found|could not be found)",
        r"nosuchbucket",
    ),
    rule(
        Cause.NOT_FOUND,
        NO,
        "Something that was asked for does not exist.",
        "Check the name, the project and the region in slipway.yaml against what there is of that kind at "
        "https://console.cloud.google.com/[?project={project}].",
        "https://cloud.google.com/apis/design/errors",
        r"requested entity was not found",
        r"match(?:ed|es)? no \w+|no (?:\w+ ){0,2}match(?:ed|es|ing)\b",
        r"(?:was|were|is|are|could|can) not (?:be )?found",
        r"\bnot[_ ]?found\b",
        r"cannot find|can't find|couldn't find|could not find|unable to find|unable to locate|failed to find (?!attribute)",
        r"does(?: not|n't) exist|do(?: not|n't) exist|didn't exist|no longer exists?|non-?existent",
        r"no such (?:object|key|resource|service|entity|host|service account|revision|secret|operation)",
        r"nosuch\w+|(?<!module)(?<!server)(?<!file)notfound(?:error|exception)?|routemissing",
        r"has (?:already )?been deleted|does not exist or is deleted|is deleted|was deleted",
        r"\berror:? 404\b|\b404\b[^\n]{0,20}(?:not found|client error)|http(?:error)? 404|status(?: code)?:? 404|\"code\" ?: ?404",
    ),
)
