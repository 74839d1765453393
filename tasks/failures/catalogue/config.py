"""Requests, files and options that are wrong in themselves."""

from __future__ import annotations

from tasks.failures.catalogue.rule import MAYBE, NO, rule
from tasks.failures.cause import Cause

_NO_FAILURE = (
    r"(?![\s\S]*(?:(?<!\b0\s)(?<!\bno\s)(?:error|fail)|denied|exception|fatal|refused|cannot|could not|unable|not found|timed? ?out|crash"
    r"|exit\([1-9]|non-?zero))"
)

TOOL_WRAPPER = (
    rule(
        Cause.OTHER,
        NO,
        "A tool says that a command failed, not why.",
        "Read the command's own output above this line, or run it by hand with `--verbosity=debug`.",
        "https://cloud.google.com/sdk/docs/troubleshooting",
        r"failed to execute (?:gcloud )?command",
        r"(?:deployment|process|command)(?: '[^'\n]*')? (?:failed|exited) with (?:exit )?code:? \d+",
    ),
)

NOT_AN_ERROR = (
    rule(
        Cause.OTHER,
        NO,
        "This is the log of something that went well.",
        "Nothing to do; `slipway status` shows what runs.",
        "https://cloud.google.com/run/docs/managing/services",
        rf"\A{_NO_FAILURE}(?=[\s\S]*(?:success|exit\(0\)|serving \d+ percent|apply complete|exit code 0))",
    ),
    rule(
        Cause.OTHER,
        NO,
        "The build runs, but its log cannot be shown: the default log bucket is outside the VPC-SC perimeter.",
        "Build with a log bucket of your own inside the perimeter (`--gcs-log-dir` of `gcloud builds submit`).",
        "https://cloud.google.com/build/docs/securing-builds/store-manage-build-logs",
        r"default logs bucket is always outside any vpc-sc(?![\s\S]*viewer/owner)",
    ),
    rule(
        Cause.OTHER,
        NO,
        "The work was cancelled.",
        "Start it again if that was not wanted; who cancelled it is in the audit log [with `gcloud logging "
        "read 'logName:activity' --project {project}`|at https://console.cloud.google.com/logs].",
        "https://cloud.google.com/logging/docs/audit",
        r"completed with status \"?cancell?ed",
        r"(?:aborted|cancell?ed|interrupted) by (?:the )?(?:user|operator|caller)",
        r"command killed by keyboard interrupt|keyboardinterrupt|operation was cancell?ed",
        r"context cancell?ed|\bcancelled: |error: (?:operation canceled|execution halted)",
    ),
    rule(
        Cause.OTHER,
        MAYBE,
        "A Terraform provider, or the API behind it, contradicted itself.",
        "Run `terraform apply` again; if it stays, update the provider with `terraform init -upgrade` and "
        "take what was made into the state with `terraform import`.",
        "https://github.com/hashicorp/terraform-provider-google/issues",
        r"provider produced (?:inconsistent|invalid|unexpected)",
        r"this is a bug in the provider",
        r"terraform-provider-[\s\S]*panic: |panic: [\s\S]*terraform-provider-|pulumi:stack[\s\S]*panic: ",
        r"plugin (?:crashed|did not respond)|request cancelled",
    ),
)

INVALID_FOR_SURE = (
    rule(
        Cause.INVALID_CONFIG,
        NO,
        "Terraform cannot start its provider.",
        "Make the bundle of its providers anew, on a machine like this one: `slipway provision bundle FOLDER`; without a "
        "bundle, see that the file that the message names can be run here.",
        "https://developer.hashicorp.com/terraform/cli/config/config-file#provider-installation",
        r"failed to load plugin schemas|failed to instantiate provider|go-plugin protocol handshake",
    ),
    rule(
        Cause.INVALID_CONFIG,
        NO,
        "API Gateway refuses the OpenAPI document.",
        "Correct what the message names in the file of `provision.gateway.openapi` in slipway.yaml.",
        "https://cloud.google.com/api-gateway/docs/openapi-overview",
        r"cannot convert to service config",
    ),
    rule(
        Cause.INVALID_CONFIG,
        NO,
        "The Terraform provider is not the one that its lock file was made for.",
        "Make bundle and lock file anew where there is internet: `slipway provision bundle FOLDER`.",
        "https://developer.hashicorp.com/terraform/language/files/dependency-lock",
        r"match any of the checksums (?:previously )?recorded",
    ),
    rule(
        Cause.INVALID_CONFIG,
        NO,
        "The name of the organisation policy's constraint is malformed.",
        "Give it as the message says; `gcloud org-policies list-custom-constraints` and `gcloud org-policies list` show names.",
        "https://cloud.google.com/resource-manager/docs/organization-policy/org-policy-constraints",
        r"constraint must be of the form",
    ),
    rule(
        Cause.INVALID_CONFIG,
        NO,
        "The workload identity provider's name is not one.",
        "Give its full name, projects/NUMBER/locations/global/workloadIdentityPools/POOL/providers/PROVIDER, as "
        "https://console.cloud.google.com/iam-admin/workload-identity-pools shows it; an empty secret of the workflow "
        "is the usual culprit.",
        "https://github.com/google-github-actions/auth#inputs-workload-identity-federation",
        r"invalid value for \W{0,3}audience",
    ),
    rule(
        Cause.INVALID_CONFIG,
        NO,
        "What was sent is larger than the receiver takes.",
        "Send less at once; how much each service takes is listed at https://cloud.google.com/run/quotas#request_limits.",
        "https://cloud.google.com/run/quotas",
        r"(?:message|payload|request|frame|body|headers?)(?: \w+){0,2} (?:is |are )?(?:too large|larger than)",
        r"(?:message|payload|request|frame|body|headers?)(?: size)?[^\n]{0,30} exceed(?:s|ed)? [^\n]{0,20}(?:max\w*|\d+ ?[km]i?b)",
        r"entity too large|payload too large|error 413",
    ),
)

OUT_OF_REACH = (  # looks like a broken network
    rule(
        Cause.INVALID_CONFIG,
        NO,
        "The container has no socket of this Cloud SQL instance.",
        "Attach the instance to [the service {service}|the service] (`--add-cloudsql-instances` of `gcloud "
        "run services update`), and give the account that it runs as roles/cloudsql.client.",
        "https://cloud.google.com/sql/docs/postgres/connect-run",
        r"/cloudsql/[^\n]{0,120}(?:no such file|enoent)",
    ),
    rule(
        Cause.INVALID_CONFIG,
        NO,
        "The container may not mount file systems: it needs the second generation execution environment.",
        "[Run `gcloud run services update {service} --execution-environment=gen2 --region {service_region} "
        "--project {service_project}`|Choose the second generation (`--execution-environment=gen2` of "
        "`gcloud run services update`)].",
        "https://cloud.google.com/run/docs/about-execution-environments",
        r"fuse device not found|modprobe fuse",
    ),
    rule(
        Cause.INVALID_CONFIG,
        NO,
        "The address of Google's service begins with nothing: the region is empty.",
        "Fill in the region (`location` in Terraform, `--region` with gcloud).",
        "https://cloud.google.com/run/docs/locations",
        r"(?:lookup |//)-[\w-]*\.googleapis\.com",
    ),
)

MALFORMED_PUSH = (
    rule(
        Cause.INVALID_CONFIG,
        NO,
        "The registry takes what was pushed for malformed.",
        "Check the image's name, and push with a current docker: an old registry or proxy may not know the format "
        "(`--provenance=false` leaves out what it does not know).",
        "https://cloud.google.com/artifact-registry/docs/docker/troubleshoot",
        r"unexpected status[^\n]{0,80}\b400\b",
    ),
)

WORK_POOL = (
    rule(
        Cause.INVALID_CONFIG,
        NO,
        "The Prefect work pool's job settings are wrong.",
        "Correct the job variables or the base job template: `prefect work-pool ls` lists the pools, "
        "`prefect work-pool inspect` shows one.",
        "https://docs.prefect.io/v3/deploy/infrastructure-concepts/work-pools",
        r"(?:worker|job|pool)\w*configuration\b",
        r"could not be submitted to infrastructure|base job template|job[_ ]variables",
    ),
)

INVALID_CONFIG = (
    rule(
        Cause.INVALID_CONFIG,
        NO,
        "The command line is wrong[ at {argument}].",
        "Correct that option; `gcloud run deploy --help` lists what it may be (an empty shell variable is the usual culprit).",
        "https://cloud.google.com/sdk/gcloud/reference",
        r"argument -?-?\w[\w-]*:",
        r"argument [\[(]?--",
        r"expected (?:one|at least one) argument",
        r"unrecognized arguments?|invalid choice|unknown flag|unknown option|no such option",
        r"must be specified|must specify|required (?:argument|flag|option|property)|required arguments? (?:is|are) missing",
        r"the following arguments are required",
        r"invalid value for \[",
        r"\(gcloud\.[\w.-]+\) (?:invalid|unable to read file|cannot|dockerfile required|missing|no |the required|bad|"
        r"unrecognized|expected|must|failed to (?:parse|read)|could not (?:parse|read)|the value|error parsing|could not find source)",
        r"the required property \[",
        r"unable to read file|error parsing|failed to parse|could not parse|cannot parse|parse error|parsing error",
    ),
    rule(
        Cause.INVALID_CONFIG,
        NO,
        "The image's name or kind is not one that Cloud Run takes.",
        "Push the image to Artifact Registry and deploy it by the name that `docker push` prints, "
        "LOCATION-docker.pkg.dev/PROJECT/REPOSITORY/IMAGE.",
        "https://cloud.google.com/run/docs/deploying",
        r"expected an image path",
        r"invalid reference format|invalid image (?:name|reference|path)|could not parse reference",
        r"repository name must be lowercase|invalid (?:tag|repository name)",
        r"unsupported (?:image|manifest|media type)|manifest type|container manifest|container import failed",
    ),
    rule(
        Cause.INVALID_CONFIG,
        NO,
        "The build configuration is wrong.",
        "Correct cloudbuild.yaml as the message says; its fields are described at "
        "https://cloud.google.com/build/docs/build-config-file-schema.",
        "https://cloud.google.com/build/docs/build-config-file-schema",
        r"invalid build",
        r"not a valid built-in substitution|substitutions?",
        r"build\.service_account|logs_bucket|service_account' is specified",
        r"cloudbuild\.ya?ml",
        r"invalid bucket",
    ),
    rule(
        Cause.INVALID_CONFIG,
        NO,
        "Cloud Run does not take a value[, at {field}].",
        "Correct the value in slipway.yaml (or the command) as the message says; what is allowed is listed at "
        "https://cloud.google.com/run/docs/reference/rest/v2/projects.locations.services.",
        "https://cloud.google.com/run/docs/reference/rest/v2/projects.locations.services",
        r"violation in (?:create|update)\w+request\.",  # Google's own words, though Terraform may pass them on
        r"invalid value specified for (?:container )?(?:cpu|memory)",
    ),
    rule(
        Cause.INVALID_CONFIG,
        NO,
        "The Terraform configuration is wrong.",
        "Correct it at the place that the message names, and check with `terraform validate`.",
        "https://developer.hashicorp.com/terraform/language",
        r"(?:unsupported|missing required|invalid|extraneous|duplicate|undeclared|incorrect)(?: \S+){0,2} (?:argument|block|attribute|"
        r"function|reference|provider|resource|variable|module|configuration|value|character|expression|count|for_each|type|label)s?",
        r"reference to undeclared",
        r"no value for required variable|value for undeclared variable",
        r"(?:backend|module|provider)[^\n]{0,60} (?:initiali[sz]ation required|not installed|changed)",
        r"terraform init|inconsistent dependency lock|required plugins|no available releases",
        r"deletion_protection|prevent_destroy|cannot destroy|instance cannot be destroyed",
        r"cycle: |unsupported terraform core version|failed to (?:install|query|load) (?:provider|plugin)",
        r"expected [\w.\"]+ to (?:be|match|contain)|conflicts with|only one of|one of `|all of `",
        r"could not load plugin",
    ),
    rule(
        Cause.INVALID_CONFIG,
        NO,
        "The request is wrong[ at {field}].",
        "Correct the value in slipway.yaml (or the command) as the message says; what is allowed is listed at "
        "https://cloud.google.com/run/docs/reference/rest/v2/projects.locations.services.",
        "https://cloud.google.com/run/docs/reference/rest/v2/projects.locations.services",
        r"vpc (?:access )?connector",
        r"invalid[_ ]?argument|badrequest|bad request|bad_request|field ?violation|violation in",
        r"invalid (?:value|name|field|json|yaml|format|path|resource|location|region|parameter|request|input|id|port|cpu|memory|type|"
        r"domain|url|state|operation|service|config\w*|ip|cidr|range|policy|member|principal|label|tag|key|syntax|character)",
        r"is (?:not (?:a )?valid|invalid|not supported|unsupported|malformed|not allowed)",
        r"(?:not |un)supported",
        r"must (?:be|contain|begin|start|end|match|only|use|not|consist|have)",
        r"should (?:be|match|only|not)",
        r"can(?:not| not|'t) (?:be )?(?:both|contain|set|specified|used|combined|convert|unmarshal|update|change|begin|end)(?:d|s|ed)?",
        r"may not (?:be|contain|exceed)",
        r"only (?:lower\w*|contain|letters|allowed|supported)",
        r"reserved (?:env|name|environment|prefix)|is reserved|are automatically set",
        r"(?:too|is) (?:long|short|large|small)\b",
        r"out of range|outofrange|out_of_range",
        r"expected [\w\"' ]{1,60} (?:but|got|found|obtained|received)",
        r"unknown (?:field|name|property|key|parameter|region|location)|unexpected (?:field|key|property)",
        r"malformed|unmarshal\w*|mal-formed|bad syntax|yaml: |mapping values are not|validation errors?",
        r"too (?:low|high|many|few)\b|must (?:sum|add up|equal)|unexpected (?:input|value|argument|token)",
        r"failed[_ ]?precondition|failedprecondition",
        r"unimplemented|method not allowed|not implemented",
        r"\berror:? 400\b|\b400 (?:bad|post|get|put|patch|client)|http(?:error)? 400|status(?: code)?:? 400|\"code\" ?: ?400",
        r"required field|is required|are required|missing (?:a )?(?:required|field|value|parameter|property)",
        r"misconfigured|misconfiguration|incorrect",
        r"no such file or directory|make sure [^\n]{0,80}file exists",
    ),
)
