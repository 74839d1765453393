"""People: the refresh tokens by which gcloud and the client libraries act for them.

https://developers.google.com/identity/protocols/oauth2/web-server#offline
"""

from __future__ import annotations

import secrets
from collections.abc import Mapping

from infra.emulator.kernel.errors import unauthenticated
from infra.emulator.kernel.store import Store

# That of `gcloud auth application-default login`: made for installed applications, so the secret is none.
CLIENT_ID = "764086051850-6qr4p6gpi6hn506pt8ejuq83di341hur.apps.googleusercontent.com"


class Users:
    def __init__(self, store: Store) -> None:
        self._table = store.values("refresh-tokens")  # refresh token -> {email, client_id, client_secret}

    def login(self, email: str, project_id: str) -> dict[str, str]:
        """What `gcloud auth application-default login` writes for a person who works in a project."""
        file = {
            "type": "authorized_user",
            "account": email,
            "quota_project_id": project_id,
            "client_id": CLIENT_ID,
            "client_secret": secrets.token_urlsafe(18),
            "refresh_token": f"1//{secrets.token_urlsafe(64)}",
            "universe_domain": "googleapis.com",
        }
        self.adopt(file)
        return file

    def adopt(self, file: Mapping[str, str]) -> None:
        """Makes a login good whose file was given out earlier."""
        row = {"email": file["account"], "client_id": file["client_id"], "client_secret": file["client_secret"]}
        self._table.put(file["refresh_token"], row)

    def refreshed(self, form: Mapping[str, str]) -> str:
        """Whose refresh token the form has; raises UNAUTHENTICATED unless the client is the one it was given to."""
        row = self._table.get(form.get("refresh_token", ""))
        if row is None or any(row[key] != form.get(key) for key in ("client_id", "client_secret")):
            raise unauthenticated()
        return str(row["email"])
