"""Who we are, whatever kind of credentials we have, and the ID tokens by which private services let us in.

Which credentials can make an ID token: https://cloud.google.com/docs/authentication/get-id-token. A user's own cannot,
nor can those of a federated workload that acts as no service account: they need an account whose token they may make.
"""

from __future__ import annotations

from typing import Any

from google.auth import compute_engine, external_account, impersonated_credentials
from google.auth.transport.requests import Request
from google.cloud import iam_credentials_v1
from google.oauth2 import service_account

from infra.gcp.calls.attempts import READ, in_thread
from infra.gcp.calls.clients import SCOPES, call, client, current_credentials
from infra.gcp.calls.errors import GoogleError
from infra.gcp.calls.rest import get_json

NAME = "iamcredentials.generateIdToken"
TOKEN_URI = "https://oauth2.googleapis.com/token"  # noqa: S105 - an address, not a secret
USER_INFO = "https://openidconnect.googleapis.com/v1/userinfo"
UNKNOWN_YET = "default"  # what credentials of the metadata server call their account before they have asked


def compute_account(project_number: int) -> str:
    """What revisions run as unless told otherwise: https://cloud.google.com/run/docs/securing/service-identity"""
    return f"{project_number}-compute@developer.gserviceaccount.com"


async def whoami() -> str:
    """The e-mail of the service account we act as; '' when we act as none: a user, or a federated workload."""

    def ask() -> str:
        credentials = current_credentials()
        if getattr(credentials, "service_account_email", "") == UNKNOWN_YET:
            credentials.refresh(Request())
        return str(getattr(credentials, "service_account_email", "") or "")

    return await in_thread("google.auth.credentials", ask)


async def member() -> str:
    """What IAM calls us: serviceAccount:…, user:… or principal://….

    Of a federated workload only its pool is known here: https://cloud.google.com/iam/docs/principal-identifiers
    """
    if email := await whoami():
        return f"serviceAccount:{email}"
    audience = str(getattr(current_credentials(), "info", {}).get("audience", ""))
    if "/providers/" in audience:
        pool = audience.removeprefix("//").partition("/providers/")[0]
        return f"principal://{pool}/subject/SUBJECT"
    return f"user:{await _user()}"


async def _user() -> str:
    """Application Default Credentials of a user may tell the e-mail: gcloud asks for that scope."""
    try:
        return str((await get_json("openidconnect.userinfo", USER_INFO)).get("email", "")) or "YOU"
    except GoogleError:
        return "YOU"


async def fetch_id_token(audience: str, account: str = "") -> str:
    """An ID token for calling a private service as `account`, by default as the service account we act as.

    Raises GoogleError: PERMISSION_DENIED when we may not make tokens of that account, FAILED_PRECONDITION when we act
    as no service account and none is named.
    """
    own = await whoami()
    if account and account != own:
        return await _of_another(audience, account)
    if not own:
        raise GoogleError(
            NAME,
            "FAILED_PRECONDITION",
            "These credentials are no service account's, and only a service account has ID tokens for any audience.",
        )

    def fetch() -> str:
        credentials = _with_audience(current_credentials(), audience)
        credentials.refresh(Request())
        return str(credentials.token)

    return await in_thread(NAME, fetch)


async def _of_another(audience: str, account: str) -> str:
    """https://cloud.google.com/iam/docs/reference/credentials/rest/v1/projects.serviceAccounts/generateIdToken"""
    request = {"name": f"projects/-/serviceAccounts/{account}", "audience": audience, "include_email": True}
    method = client(iam_credentials_v1.IAMCredentialsAsyncClient).generate_id_token
    return str((await call(NAME, method, request, retry=READ)).token)


def _with_audience(credentials: Any, audience: str) -> Any:
    """google-auth's own ID token credentials for each kind that speaks for a service account."""
    if isinstance(credentials, service_account.Credentials):
        signer, email = credentials.signer, credentials.service_account_email
        return service_account.IDTokenCredentials(signer, email, TOKEN_URI, audience)
    if isinstance(credentials, compute_engine.Credentials):
        return compute_engine.IDTokenCredentials(Request(), audience, use_metadata_identity_endpoint=True)
    if isinstance(credentials, external_account.Credentials):
        credentials = _impersonating(credentials)
    return impersonated_credentials.IDTokenCredentials(credentials, audience, include_email=True)


def _impersonating(credentials: external_account.Credentials) -> impersonated_credentials.Credentials:
    """A federated workload asks in its own name for the account's ID token, as it does for its access tokens.

    That is what roles/iam.workloadIdentityUser allows; the account itself need not be allowed to make its own tokens.
    """
    info = {
        key: value for key, value in credentials.info.items() if not key.startswith("service_account_impersonation")
    }
    source = type(credentials).from_info(info).with_scopes(SCOPES)
    return impersonated_credentials.Credentials(source, credentials.service_account_email, SCOPES)
