"""Callers other than the owner: service accounts of the local cloud with real keys."""

from __future__ import annotations

import itertools
import json
from typing import Any

from google.cloud import iam_admin_v1
from google.oauth2 import service_account

from tests.conftest import PROJECT

_numbers = itertools.count()


def new_key() -> dict[str, Any]:
    """The JSON key of a fresh service account that has no role anywhere."""
    client = iam_admin_v1.IAMClient()
    request = iam_admin_v1.CreateServiceAccountRequest(
        name=f"projects/{PROJECT}", account_id=f"stranger-{next(_numbers)}"
    )
    account = client.create_service_account(request)
    key = client.create_service_account_key(iam_admin_v1.CreateServiceAccountKeyRequest(name=account.name))
    return dict(json.loads(key.private_key_data))


def credentials(key: dict[str, Any]) -> Any:
    scopes = ["https://www.googleapis.com/auth/cloud-platform"]
    return service_account.Credentials.from_service_account_info(key, scopes=scopes)


def bearer(key: dict[str, Any]) -> str:
    """A self-signed JWT of the key, as the client libraries send it."""
    signed = service_account.Credentials.from_service_account_info(key).with_always_use_jwt_access(True)
    signed._create_self_signed_jwt("https://run.googleapis.com/")
    signed.refresh(None)
    return str(signed.token)
