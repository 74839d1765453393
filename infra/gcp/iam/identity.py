"""Who we are: the account that calls are made as, and tokens of its."""

from __future__ import annotations

import asyncio

import google.auth
from google.auth.transport.requests import Request
from google.oauth2 import id_token

from infra.gcp.calls.attempts import READ, attempted
from infra.gcp.calls.clients import current_credentials


def compute_account(project_number: int) -> str:
    """What revisions run as unless told otherwise: https://cloud.google.com/run/docs/securing/service-identity"""
    return f"{project_number}-compute@developer.gserviceaccount.com"


def whoami() -> str:
    """The e-mail of the service account we act as; '' when the credentials do not tell (a user's own)."""
    return str(getattr(current_credentials(), "service_account_email", "") or "")


async def fetch_id_token(audience: str) -> str | None:
    """An ID token for calling a private service; None when our credentials cannot make one (a user's own)."""

    def fetch() -> str | None:
        try:
            return str(id_token.fetch_id_token(Request(), audience))
        except google.auth.exceptions.DefaultCredentialsError:
            return None

    async def once() -> str | None:
        return await asyncio.wait_for(asyncio.to_thread(fetch), READ.timeout_s)

    return await attempted("google.oauth2.id_token", once, READ)
