"""Cloud Storage: addresses under which somebody without credentials can read one object for some minutes.

Made when they are asked for, and kept nowhere: https://cloud.google.com/storage/docs/access-control/signed-urls
"""

from __future__ import annotations

import base64
from datetime import timedelta
from typing import Any

from google.auth.credentials import Credentials, Signing
from google.cloud import storage

from infra.gcp.calls.attempts import READ
from infra.gcp.calls.clients import current_credentials
from infra.gcp.calls.errors import GoogleError
from infra.gcp.calls.sessions import session
from infra.gcp.storage.client import call

NAME = "iamcredentials.signBlob"


async def signed_url(bucket: str, name: str, minutes: int, signer: str, *, remote: bool = False) -> str:
    """A V4 URL to download the object, as far as the service account may in whose name it is.

    signer: that account's e-mail.
    With the signer's own key it is signed here. Without one, or where the signer is `remote`, somebody else than we act
    as, IAM signs: that takes roles/iam.serviceAccountTokenCreator on the signer, also on oneself.
    Raises GoogleError.
    """
    if not signer:
        raise GoogleError(
            NAME,
            "FAILED_PRECONDITION",
            "These credentials are no service account's, and only a service account signs URLs.",
        )

    def sign(client: storage.Client) -> str:
        credentials: Any = current_credentials()
        if remote or not isinstance(credentials, Signing):
            credentials = _ByIam(credentials, signer)
        return str(
            client.bucket(bucket)
            .blob(name)
            .generate_signed_url(
                version="v4",
                expiration=timedelta(minutes=minutes),
                method="GET",
                response_disposition=f'attachment; filename="{name.rpartition("/")[2]}"',
                credentials=credentials,
            )
        )

    return await call(NAME, sign)


class _ByIam(Signing):
    """https://cloud.google.com/iam/docs/reference/credentials/rest/v1/projects.serviceAccounts/signBlob"""

    def __init__(self, credentials: Credentials, email: str) -> None:
        self._credentials, self._email = credentials, email

    @property
    def signer(self) -> _ByIam:
        return self

    @property
    def signer_email(self) -> str:
        return self._email

    def sign_bytes(self, message: bytes) -> bytes:
        """google.auth.iam.Signer does the same, but its errors do not tell what has failed."""
        url = f"https://iamcredentials.googleapis.com/v1/projects/-/serviceAccounts/{self._email}:signBlob"
        asked = {"payload": base64.b64encode(message).decode()}
        response = session(self._credentials).post(url, json=asked, timeout=READ.timeout_s)
        response.raise_for_status()
        return base64.b64decode(response.json()["signedBlob"])
