"""Security Token Service: the token of another identity provider for one of Google's, by workload identity federation.

The one provider here is Google itself: the subject token is an ID token made for the pool's provider. Pools and
providers are not kept, so any name of one is good. https://cloud.google.com/iam/docs/reference/sts/rest/v1/TopLevel/token
"""

from __future__ import annotations

import re

from aiohttp import web

from infra.emulator.iam.identity import Identity
from infra.emulator.iam.keys import LIFETIME_S
from infra.emulator.kernel.cloud import Cloud
from infra.emulator.kernel.errors import RpcError
from infra.emulator.kernel.handlers import Call, route
from infra.emulator.projects.projects import Projects

EXCHANGE = "urn:ietf:params:oauth:grant-type:token-exchange"
ACCESS_TOKEN = "urn:ietf:params:oauth:token-type:access_token"  # noqa: S105 - names, not secrets
SUBJECTS = {"urn:ietf:params:oauth:token-type:jwt", "urn:ietf:params:oauth:token-type:id_token"}
PROVIDER = re.compile(
    r"//iam\.googleapis\.com/projects/(\d+)/locations/global/workloadIdentityPools/([a-z0-9-]{4,32})"
    r"/providers/[a-z0-9-]{4,32}"
)


class SecurityTokens:
    def __init__(self, cloud: Cloud) -> None:
        self._identity, self._projects = cloud.get(Identity), cloud.get(Projects)

    @route("POST", "/v1/token", method="sts.token", host="sts.googleapis.com", anonymous=True)
    async def token(self, request: web.Request, _: Call) -> web.Response:
        form = {key: str(value) for key, value in (await request.post()).items()}
        if form.get("grant_type") != EXCHANGE:
            return _refused("unsupported_grant_type", f"Invalid grant type: {form.get('grant_type', '')}")
        if form.get("requested_token_type") != ACCESS_TOKEN or form.get("subject_token_type") not in SUBJECTS:
            return _refused("invalid_request", "Invalid token type.")
        provider = PROVIDER.fullmatch(form.get("audience", ""))
        if provider is None or not self._projects.exists(provider[1]):
            return _refused("invalid_target", 'The target service indicated by the "audience" parameters is invalid.')
        try:
            claims = self._identity.id_tokens.claims(form.get("subject_token", ""))
        except RpcError:
            return _refused("invalid_grant", "The given credential is rejected by the attribute condition.")
        if claims["aud"] != f"https:{provider[0]}":
            return _refused("invalid_grant", f"The audience in ID Token [{claims['aud']}] does not match the expected.")
        pool = f"iam.googleapis.com/projects/{provider[1]}/locations/global/workloadIdentityPools/{provider[2]}"
        token = self._identity.access_token(f"principal://{pool}/subject/{claims['sub']}")
        answer = {"access_token": token, "issued_token_type": ACCESS_TOKEN, "token_type": "Bearer"}
        return web.json_response({**answer, "expires_in": LIFETIME_S})


def _refused(error: str, description: str) -> web.Response:
    return web.json_response({"error": error, "error_description": description}, status=400)
