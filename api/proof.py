"""Whether a git host has sent a webhook, by what it was signed with. Pure.

GitHub: https://docs.github.com/en/webhooks/using-webhooks/validating-webhook-deliveries
GitLab: https://docs.gitlab.com/user/project/integrations/webhooks/#signing-tokens, else its X-Gitlab-Token
Bitbucket: https://support.atlassian.com/bitbucket-cloud/docs/manage-webhooks/#Secure-webhooks
Others: https://github.com/standard-webhooks/standard-webhooks/blob/main/spec/standard-webhooks.md
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import hmac
import re
from collections.abc import Mapping, Sequence
from enum import StrEnum

from api.refused import Refused
from api.settings import is_one_of

_TIME = re.compile(r"[0-9]{1,12}")  # seconds since 1970; Python would raise at thousands of digits
WINDOW_S = 300  # how far a signed time may be from ours
FORGED = "The signature does not match the secret."


class Host(StrEnum):
    """Who sends the webhook; the last word of its address here."""

    GITHUB = "github"
    GITLAB = "gitlab"
    BITBUCKET = "bitbucket"
    GENERIC = "generic"


def refuse_forged(host: Host, headers: Mapping[str, str], body: bytes, secrets: Sequence[bytes], now: float) -> str:
    """The delivery's id, '' where it has none. Raises Refused for what nobody with a secret sent, or sent long ago.

    headers: by their names in small letters. now: seconds since 1970.
    """
    known = [secret for secret in secrets if secret.strip()]
    if not known:  # an empty key signs, too
        raise Refused(503, "No webhook secret is set, so no webhook is taken: set SLIPWAY_HOOK_SECRETS.")
    if host is Host.GITHUB:
        _refuse_unsigned(headers.get("x-hub-signature-256", ""), body, known)
        return headers.get("x-github-delivery", "")
    if host is Host.BITBUCKET:
        _refuse_unsigned(headers.get("x-hub-signature", ""), body, known)
        return headers.get("x-request-uuid") or headers.get("x-request-id", "")
    if host is Host.GITLAB and "webhook-signature" not in headers:
        given = headers.get("x-gitlab-token", "").encode()
        if not is_one_of(given, known):
            raise Refused(401, "The token does not match the secret.")
        return headers.get("idempotency-key") or headers.get("x-gitlab-event-uuid", "")
    return _standard(headers, body, known, now)


def _refuse_unsigned(given: str, body: bytes, secrets: Sequence[bytes]) -> None:
    """`sha256=hex`; the header of the same kind with SHA-1 is no proof."""
    good = (f"sha256={hmac.new(secret, body, hashlib.sha256).hexdigest()}".encode() for secret in secrets)
    if not is_one_of(given.encode(), good):
        raise Refused(401, FORGED)


def _standard(headers: Mapping[str, str], body: bytes, secrets: Sequence[bytes], now: float) -> str:
    name, when = headers.get("webhook-id", ""), headers.get("webhook-timestamp", "")
    given = [part.partition(",")[2] for part in headers.get("webhook-signature", "").split() if part.startswith("v1,")]
    if not name or not _TIME.fullmatch(when):
        raise Refused(401, "webhook-id and webhook-timestamp must say which delivery it is, and from when.")
    if abs(now - int(when)) > WINDOW_S:
        raise Refused(401, f"It was signed more than {WINDOW_S} seconds ago, or the clocks differ.")
    signed = b".".join((name.encode(), when.encode(), body))
    good = [base64.b64encode(hmac.new(_key(secret), signed, hashlib.sha256).digest()) for secret in secrets]
    if not sum(is_one_of(each.encode(), good) for each in given):
        raise Refused(401, FORGED)
    return name


def _key(secret: bytes) -> bytes:
    """The spec's secrets are in base64 behind `whsec_`; any other is taken as it is."""
    if not secret.startswith(b"whsec_"):
        return secret
    try:
        return base64.b64decode(secret.removeprefix(b"whsec_"), validate=True) or secret
    except binascii.Error:
        return secret
