"""IAM Service Account Credentials: tokens and signatures of an account, for those who may act as it."""

from __future__ import annotations

import time
from typing import Any

from google.cloud.iam_credentials_v1 import types

from infra.emulator.iam.identity import Identity
from infra.emulator.iam.keys import LIFETIME_S
from infra.emulator.iam.service_accounts import AccountAccess
from infra.emulator.kernel.cloud import Cloud
from infra.emulator.kernel.errors import invalid
from infra.emulator.kernel.handlers import Call, rpc

API = "google.iam.credentials.v1.IAMCredentials"
LONGEST_S = 3600  # https://cloud.google.com/iam/docs/create-short-lived-credentials-direct
AccessTokenPb: Any = types.GenerateAccessTokenResponse.pb()
IdTokenPb: Any = types.GenerateIdTokenResponse.pb()
SignedBlobPb: Any = types.SignBlobResponse.pb()
SignedJwtPb: Any = types.SignJwtResponse.pb()


class Credentials:
    def __init__(self, cloud: Cloud) -> None:
        self._identity, self._access = cloud.get(Identity), AccountAccess(cloud)

    @rpc(f"{API}/GenerateAccessToken", resource="")
    async def access_token(self, request: Any, call: Call) -> Any:
        account = self._access.find(call, "iam.serviceAccounts.getAccessToken", request.name)
        if not request.scope:
            raise invalid("Request must have at least one scope.")
        lifetime_s = request.lifetime.seconds or LIFETIME_S
        if lifetime_s > LONGEST_S:
            raise invalid("The token lifetime requested is too long.")
        response = AccessTokenPb(access_token=self._identity.access_token(account.email, lifetime_s))
        response.expire_time.FromSeconds(int(time.time()) + lifetime_s)
        return response

    @rpc(f"{API}/GenerateIdToken", resource="")
    async def id_token(self, request: Any, call: Call) -> Any:
        account = self._access.find(call, "iam.serviceAccounts.getOpenIdToken", request.name)
        if not request.audience:
            raise invalid("Request must have an audience.")
        return IdTokenPb(token=self._identity.id_tokens.issue(account.email, request.audience, request.include_email))

    @rpc(f"{API}/SignBlob", resource="")
    async def sign_blob(self, request: Any, call: Call) -> Any:
        account = self._access.find(call, "iam.serviceAccounts.signBlob", request.name)
        key_id, signature = self._identity.keys.sign(account.email, request.payload)
        return SignedBlobPb(key_id=key_id, signed_blob=signature)

    @rpc(f"{API}/SignJwt", resource="")
    async def sign_jwt(self, request: Any, call: Call) -> Any:
        account = self._access.find(call, "iam.serviceAccounts.signJwt", request.name)
        key_id, token = self._identity.keys.sign_jwt(account.email, request.payload)
        return SignedJwtPb(key_id=key_id, signed_jwt=token)
