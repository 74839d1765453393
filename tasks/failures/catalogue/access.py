"""Who may do what: permissions and credentials."""

from __future__ import annotations

from tasks.failures.catalogue.rule import NO, rule
from tasks.failures.cause import Cause

PERMISSION = (
    rule(
        Cause.PERMISSION,
        NO,
        "The build's log may not be read by [{principal}|the caller]; the build itself may be fine.",
        "[Run `gcloud projects add-iam-policy-binding {project} --member={member} --role=roles/viewer`|Give "
        "the caller roles/viewer on the project at https://console.cloud.google.com/iam-admin/iam], or build "
        "with a log bucket of your own (`--gcs-log-dir`).",
        "https://cloud.google.com/build/docs/securing-builds/store-manage-build-logs",
        r"cloudbuild-logs",
        r"can only stream logs if you are viewer",
    ),
    rule(
        Cause.PERMISSION,
        NO,
        "Tokens of [the service account {account}|a service account] may not be made by the one who asks for them.",
        "Give the identity that was refused roles/iam.serviceAccountTokenCreator on [{account}|the account], or where "
        "it comes from a workload identity pool roles/iam.workloadIdentityUser, at "
        "https://console.cloud.google.com/iam-admin/serviceaccounts; a wrong attribute mapping is refused in the same "
        "words.",
        "https://cloud.google.com/iam/docs/service-account-impersonation",
        r"failed to generate google cloud (?:access|id) token[\s\S]{0,200}(?:does not have permission|permission_denied)",
        r"iam\.serviceaccounts\.(?:getaccesstoken|getopenidtoken|implicitdelegation|signblob|signjwt)",
        # Unless the login that it begins with is what is wrong, or the request itself.
        r"unable to acquire impersonated credentials(?![\s\S]*(?:invalid_|reauth|\b[45]0[0245]\b))",
    ),
    rule(
        Cause.PERMISSION,
        NO,
        "[{principal}|The caller] may not have calls counted against [project {project}|the project that it names].",
        "[Run `gcloud projects add-iam-policy-binding {project} --member={member} "
        "--role=roles/serviceusage.serviceUsageConsumer`|Grant roles/serviceusage.serviceUsageConsumer on that project at "
        "https://console.cloud.google.com/iam-admin/iam], or have calls counted against another one, as "
        "https://cloud.google.com/docs/quotas/set-quota-project says.",
        "https://cloud.google.com/docs/quotas/set-quota-project",
        r"required permission to use project",
        r"user_project_denied",
    ),
    rule(
        Cause.PERMISSION,
        NO,
        "The login names no project against which its calls are counted.",
        "Name yours[ with `gcloud auth application-default set-quota-project {own_project}`|, see "
        "https://cloud.google.com/docs/quotas/set-quota-project], then run again.",
        "https://cloud.google.com/docs/authentication/troubleshoot-adc#user-creds-client-based",
        r"requires a quota project",
    ),
    rule(
        Cause.PERMISSION,
        NO,
        "Identity-Aware Proxy let nobody in: the ID token is none, or for another audience.",
        "Ask with an ID token for the client id that the proxy expects: `health.audience` of the service in slipway.yaml, "
        "which the worker's SLIPWAY_PROBE_AUDIENCES has to list.",
        "https://cloud.google.com/iap/docs/authentication-howto",
        r"invalid iap credentials",
        r"jwt audience doesn't match this application",
    ),
    rule(
        Cause.PERMISSION,
        NO,
        "The workload identity pool does not let this workload in: its provider's attribute condition is not met.",
        "Compare the condition with what the workload's token says, at "
        "https://console.cloud.google.com/iam-admin/workload-identity-pools[?project={project}].",
        "https://cloud.google.com/iam/docs/workload-identity-federation#conditions",
        r"rejected by the attribute condition",
    ),
    rule(
        Cause.PERMISSION,
        NO,
        "No usable Google credentials: none were found, or they have expired or were revoked.",
        "Log in with `gcloud auth application-default login` (on a machine: set GOOGLE_APPLICATION_CREDENTIALS "
        "or attach a service account), then run again.",
        "https://cloud.google.com/docs/authentication/provide-credentials-adc",
        r"default credentials",
        r"(?:bad|invalid|incorrect|wrong|missing|no valid|expired) (?:\w+ )?(?:credentials?|username|password|login)\b",
        r"(?:invalid_(?:grant|rapt|client|token|scope)|unauthorized_client)",  # OAuth's own codes
        r"reauth\w*",
        r"(?:tokens?|credentials?|session|login)(?: \S+){0,4} (?:(?:has|have) been|is|are|was|were|has|have) "
        r"(?:expired|revoked|invalid|missing|not valid|malformed)",
        r"authpermanentfail|authenticationerror|loginrequired|(?:not|been) logged (?:in|out)",
        r"(?:failed|unable|could not|cannot) to authenticate|could not authenticate|authentication (?:error|required)",
        r"do(?:es)? not currently have an active account",
        r"(?:no|without) (?:active|valid|usable|application) (?:account|credential)",
        r"no (?:\w+ ){0,2}(?:credentials?|authentication)(?: \w+)? (?:provided|found|given|supplied|set|available)",
        r"no method for authentication",
        r"could not (?:find|load|refresh|fetch)[^\n]{0,30} (?:credentials|access token)",
        r"invalid authentication credentials",
        r"invalid jwt",
        r"access_token_expired|credentials_missing",
        r"unable to (?:acquire|retrieve|get|generate)[^\n]{0,40} (?:credentials|token)",
        r"failed to (?:generate|retrieve|get|obtain|exchange|refresh)[^\n]{0,60} (?:token|credentials)",
        r"there was a problem refreshing your current auth tokens",
        r"google_application_credentials",
        r"account has been (?:disabled|deleted|suspended)",
        r"(?:parse|decode|read|load|malformed|invalid) (?:the )?json key",
        r"account_state_invalid",
    ),
    rule(
        Cause.PERMISSION,
        NO,
        "The GitHub workflow may not ask for an identity token.",
        "Add `id-token: write` under `permissions:` of the job that runs google-github-actions/auth.",
        "https://github.com/google-github-actions/auth#prerequisites",
        r"actions_id_token_request",
    ),
    rule(
        Cause.PERMISSION,
        NO,
        "The API key is missing, wrong or restricted.",
        "Check the key's restrictions at "
        "https://console.cloud.google.com/apis/credentials[?project={project}][ (allow {api})], or send the "
        "key that belongs to this gateway.",
        "https://cloud.google.com/docs/authentication/api-keys",
        r"api[_ ]key[_ ](?:not valid|invalid|is invalid|expired|service_blocked|http_referrer|ip_address)",
        r"valid api key",
        r"api_key_\w+",
        r"api key (?:not|was not|is not|expired|missing)",
        r"method doesn't allow (?:unregistered callers|api key)",
        r"requests (?:to this api|from)[^\n]{0,120} are blocked",
        r"missing_origin|credential_android_app_invalid",
    ),
    rule(
        Cause.PERMISSION,
        NO,
        "The request carried no identity that Cloud Run accepts.",
        "Call with `Authorization: Bearer $(gcloud auth print-identity-token)` from an account with "
        "roles/run.invoker, or open the service[ with `gcloud run services add-iam-policy-binding {service} "
        "--member=allUsers --role=roles/run.invoker --region={service_region} --project={service_project}`| "
        "(`public: true` in slipway.yaml)].",
        "https://cloud.google.com/run/docs/authenticating/overview",
        r"allow unauthenticated invocations",
        r"the request was not authenticated",
        r"jwt (?:is |has )?(?:missing|expired|invalid)",
        r"jwt (?:issuer|verification|audience)",
        r"audiences in jwt",
        r"does not have permission to get url",
        r"access token could not be verified",
    ),
    rule(
        Cause.PERMISSION,
        NO,
        "The deployer[ ({principal})] may not act as [{account}|the service account].",
        "[Run `gcloud iam service-accounts add-iam-policy-binding {account} --member={member} "
        "--role=roles/iam.serviceAccountUser`|Give the deployer roles/iam.serviceAccountUser on {account} at "
        "https://console.cloud.google.com/iam-admin/serviceaccounts|Give the deployer "
        "roles/iam.serviceAccountUser on it at https://console.cloud.google.com/iam-admin/serviceaccounts].",
        "https://cloud.google.com/iam/docs/service-accounts-actas",
        r"\bact ?as\b",
        r"serviceaccounts?\.actas",
        r"serviceaccountuser",
    ),
    rule(
        Cause.PERMISSION,
        NO,
        "What runs the container or build may not read [the secret {secret}|a secret].",
        "[Run `gcloud secrets add-iam-policy-binding {secret} --project {secret_project} --member={member} "
        "--role=roles/secretmanager.secretAccessor`|Give the account that it runs as "
        "roles/secretmanager.secretAccessor on {secret} at "
        "https://console.cloud.google.com/security/secret-manager|Give the account that it runs as "
        "roles/secretmanager.secretAccessor on the secret at "
        "https://console.cloud.google.com/security/secret-manager].",
        "https://cloud.google.com/run/docs/configuring/services/secrets",
        r"permission denied on secret",
        r"secretmanager\.versions\.access",
        r"secretmanager\.secretaccessor",
    ),
    rule(
        Cause.PERMISSION,
        NO,
        "The registry does not let [{principal}|the caller] use [the repository {repository}|the "
        "repository][: {permission} is missing].",
        "[Run `gcloud artifacts repositories add-iam-policy-binding {repository} "
        "--location={repository_location} --project={repository_project} --member={member} "
        "--role={role}`|Give the account that was refused {role} on the repository {repository} at "
        "https://console.cloud.google.com/artifacts|Give the account that was refused {role} on the "
        "repository at https://console.cloud.google.com/artifacts|Give the account that was refused access "
        "to the repository at https://console.cloud.google.com/artifacts]; a repository that does not exist "
        "is refused in the same words.",
        "https://cloud.google.com/artifact-registry/docs/access-control",
        r"artifactregistry\.repositories\.\w*artifacts|createonpush|uploadartifacts|downloadartifacts",
    ),
    rule(
        Cause.PERMISSION,
        NO,
        "Cloud Run may not pull the image[ from the repository {repository}].",
        "Give the Cloud Run service agent of the project that runs the image roles/artifactregistry.reader "
        "on [the repository {repository} of project {repository_project}|the repository] at "
        "https://console.cloud.google.com/artifacts.",
        "https://cloud.google.com/run/docs/deploying#other-projects",
        r"must have permission to read the image",
    ),
    rule(
        Cause.PERMISSION,
        NO,
        "Docker is not logged in to the registry, or its login may not use [the repository {repository}|the "
        "repository].",
        "[Run `gcloud auth configure-docker {repository_location}-docker.pkg.dev`|Log in with `gcloud auth "
        "configure-docker`, naming the registry's host if it is not gcr.io], and give the account that it "
        "uses roles/artifactregistry.writer to push, or reader to pull, at "
        "https://console.cloud.google.com/artifacts.",
        "https://cloud.google.com/artifact-registry/docs/docker/authentication",
        r"unauthorized: ",
        r"unauthorized to",
        r"unauthenticated request\. unauthenticated requests",
        r"token exchange failed",
        r"(?:\A|\n|: |\")denied: ",
        r"no basic auth credentials|docker-credential-\S+: exit status",
        r"unexpected status[^\n]{0,200}: 40[13]",
        r"push_not_authorized",
        r"insufficient_scope",
        r"pull access denied for \S+\.(?:pkg\.dev|gcr\.io)",
        r"permission denied while accessing artifact registry",
        r"failed to authorize",
        r"failed to fetch oauth token",
        r"npm err! code e40[13]",
        r"npm error code e40[13]",
    ),
    rule(
        Cause.PERMISSION,
        NO,
        "git may not read the repository.",
        "Give the build a deploy key or token that can read the repository (connect it at "
        "https://console.cloud.google.com/cloud-build/repositories), then run again.",
        "https://cloud.google.com/build/docs/repositories",
        r"permission denied \(publickey",
        r"could not read (?:username|password) for",
        r"authentication failed for 'http",
        r"fatal: could not read from remote repository",
        r"host key verification failed",
        r"support for password authentication was removed",
    ),
    rule(
        Cause.PERMISSION,
        NO,
        "Something is not allowed or does not exist: [{principal}|the caller] lacks [{permission}|a permission].",
        "[Run `gcloud projects add-iam-policy-binding {project} --member={member} --role={role}`|Give it "
        "{role} at https://console.cloud.google.com/iam-admin/iam|Grant a role that holds it at "
        "https://console.cloud.google.com/iam-admin/iam], then run again; see who lacks what at "
        "https://console.cloud.google.com/iam-admin/troubleshooter.",
        "https://cloud.google.com/iam/docs/troubleshoot-access",
        r"permission_?denied\w*",
        r"permission[s:]? [\[\"'`]*[\w./:*-]+[\]\"'`]*(?: was| is)? (?:denied|missing|required)",
        r"permission denied (?:on|for|to|when|while)",
        r"(?:does|do|did) not have (?:the )?[^\n]{0,120}(?:permissions?|access|roles?|authoriz\w+)",
        r"(?:does|do)n't have [^\n]{0,80}(?:permissions?|access)",
        r"not have [\w.]+ access to",
        r"(?:lacks?|missing|without|insufficient|needs?|require[sd]?)(?: the)?(?: \S+){0,6} (?:iam )?(?:permission|role)s?\b",
        r"must (?:have|grant|be granted) [^\n]{0,80}(?:permissions?|roles?|access)",
        r"iam_permission_denied",
        r"access ?denied\w*",
        r"access to [^\n]{1,120} (?:was |is )?denied",
        r"denied on resource",
        r"forbidden from accessing",
        r"not authorized\b|\bunauthorized\b|logged in to the server|github-actions/auth failed",
        r"is not authorized",
        r"insufficient (?:authentication )?(?:scopes?|privileges?|permissions?)",
        r"scope_insufficient|insufficientpermissions|insufficient_scope",
        r"anonymous caller",
        r"(?:authorization|authentication) (?:status|failed|failure|rejected)",
        r"(?:status|code|http(?:/\S+)?)[\s:=\"'(\[]{1,4}401",
        r"unauthenticated|\"unauthorized\"",
        r"required [\"'][\w.]+[\"'] permission",
        r"needs editor role",
        r"consumer_suspended|gcp_suspended|user_project_denied",
        r"(?:project|consumer)[^\n]{0,60}(?:has been|is) suspended",
        r"setting iam policy failed|ensure that the account has access",
        r"not a member|must be (?:an? )?(?:owner|editor|admin|member)",
    ),
)
