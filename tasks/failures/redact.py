"""Masks what must never be shown: tokens, keys, passwords, signed URLs, and the values of secret variables.

Ordinary text goes through unchanged, so that every message may be masked without a second thought: names of
secrets (`projects/p/secrets/NAME`), e-mail addresses, digests, commit ids and revision names stay. Libraries such as
detect-secrets find the lines of files that hold a secret, not where in a message it begins and ends.
"""

from __future__ import annotations

import json
import os
import re
from collections.abc import Callable, Iterator, Mapping
from functools import lru_cache
from urllib.parse import quote, quote_plus

MASK = "***"

_MIN_SECRET_LENGTH = 8  # shorter values of variables ("true", "8080", "main") are everywhere in ordinary text

_PRIVATE_KEY = re.compile(  # also with line ends escaped as in JSON, also when the end was cut off
    r"-----BEGIN [A-Z ]*PRIVATE KEY-----(?:.*?-----END [A-Z ]*PRIVATE KEY-----|[\w+/=\s\\]*)", re.DOTALL
)
_TOKEN = re.compile(  # recognised by shape, wherever it stands
    r"""ya29\.[\w.-]+                              # Google OAuth access token
      | \b1//[\w-]{20,}                            # Google OAuth refresh token
      | \bGOCSPX-[\w-]{20,}                        # Google OAuth client secret
      | \bAIza[\w-]{30,}                           # Google API key
      | \beyJ[\w-]{8,}\.[\w-]{4,}(?:\.[\w-]*)?     # JSON Web Token
      | \bgh[oprsu]_\w{20,} | \bgithub_pat_\w{20,}
      | \bgl(?:pat|rt|dt|ptt|cbt|oas|soat|ft|imt)-[\w-]{16,}
      | \bnpm_\w{30,}
      | \bpypi-AgEI[\w-]{20,}
      | \bdckr_[op]at_[\w-]{20,}
      | \bhf_[a-zA-Z0-9]{30,}                      # Hugging Face
      | \bSG\.[\w-]{20,}\.[\w-]{40,}              # SendGrid
      | \bwhsec_[\w+/=]{20,}                      # Stripe, of webhooks
      | \bxox[abeoprs]-[\w-]{10,}                  # Slack
      | \b[rs]k[-_](?:live|test|ant|proj)[-_][\w-]{16,}
      | \bA[KS]IA[0-9A-Z]{16}\b                      # AWS access key id
    """,
    re.VERBOSE,
)

_VALUE = r"""(?:"(?:[^"\\]|\\.)*"|'[^']*'|\\".*?\\"|[^\s"'\\&,;)}\]>]+)"""
_WORD = (
    r"(?:passw(?:or)?d|passphrase|pwd|secret|token|credentials?"
    r"|(?:api|private|access|signing|encryption)[_-]?key|secret[_-]key)"
)
_COMPOUND = (  # the words that prose does not put before a colon; a bare `token: x` or `secret: x` it does
    r"(?:passw(?:or)?d|passphrase|client[_-]?secret|(?:access|refresh|id|auth|api)[_-]?token"
    r"|(?:api|private|access|signing|encryption)[_-]?key)"
)
_SIGNATURE = (
    r"(?:x-goog-(?:signature|credential|security-token)|x-amz-(?:signature|credential|security-token)"
    r"|signature|googleaccessid|sig|upload_id)"
)
# Each keeps its first group and masks the rest.
_AFTER = tuple(
    re.compile(pattern, re.IGNORECASE)
    for pattern in (
        rf"({_WORD}(?:[ \t]*=[ \t]*|%3d))(?!projects/){_VALUE}",
        rf"(--(?:[\w-]+-)?{_WORD}[ \t]+)(?!-){_VALUE}",
        rf"({_WORD}\\?[\"']\s*:\s*(?!\\?[\"']projects/))(?:\"(?:[^\"\\]|\\.)*\"|'[^']*'|\\\".*?\\\")",
        rf"({_COMPOUND}:[ \t]*){_VALUE}",
        r"((?:token|secret):[ \t]*)(?=[^\s/]*\d)[^\s/\"',]{16,}",
        rf"([?&]{_SIGNATURE}=|(?:%3f|%26){_SIGNATURE}%3d)[^\s&\"'<>)]+",
        r"(authorization[\"']?\s*[:=]\s*[\"']?(?:bearer|basic|token)\s+)[^\s\"',]+",
        r"(authorization[\"']?\s*[:=]\s*[\"']?)[^\s\"',]{16,}",
        r"(\bbearer\s+)[\w.~+/-]{20,}=*",
        # webhooks whose address is all that it takes to use them
        r"(hooks\.slack\.com/(?:services|workflows|triggers)/)[\w/-]+",
        r"(discord(?:app)?\.com/api/webhooks/\d+/)[\w-]+",
        r"(api\.telegram\.org/bot)[\w:-]+",
        r"(webhook\.office\.com/)[^\s\"'<>]+",
        r"(://)(?:[^\s/@:]{0,100}:[^\s/]+|[\w.-]{20,})(?=@)",
    )
)

_SECRET_VARIABLE = re.compile(
    r"(?:^|_)(?:PASSWORD|PASSWD|PASSPHRASE|SECRET|TOKEN|API_?KEY|PRIVATE_?KEY|ACCESS_?KEY|CREDENTIALS?)(?:_|$)",
    re.IGNORECASE,
)
_NAMES_A_PLACE = re.compile(r"_(?:FILE|PATH|DIR|NAME|ID|BLOCK)$|^GOOGLE_APPLICATION_CREDENTIALS$", re.IGNORECASE)


def redact(text: str, environment: Mapping[str, str] = os.environ) -> str:
    """The text with every secret replaced by `***`; masking twice changes nothing more."""
    return masking(environment)(text)


def masking(environment: Mapping[str, str] = os.environ) -> Callable[[str], str]:
    """What masks many texts at once: to look through the environment takes longer than to mask a line."""
    values = sorted(_secret_values(environment), key=len, reverse=True)

    def mask(text: str) -> str:
        text = _PRIVATE_KEY.sub(MASK, text)
        for value in values:
            text = text.replace(value, MASK)
        text = _TOKEN.sub(MASK, text)
        for pattern in _AFTER:
            text = pattern.sub(rf"\1{MASK}", text)
        return text

    return mask


def _secret_values(environment: Mapping[str, str]) -> Iterator[str]:
    """The values of variables with secret-looking names, in each spelling in which they may turn up."""
    for name in environment:
        if _is_secret(name):
            value = environment.get(name, "")  # another thread may take a variable away meanwhile
            if len(value) >= _MIN_SECRET_LENGTH:
                yield from {value, quote(value), quote(value, safe=""), quote_plus(value), json.dumps(value)[1:-1]}


@lru_cache(maxsize=1024)
def _is_secret(name: str) -> bool:
    """Remembered, as all names are looked at for each line of a log."""
    return bool(_SECRET_VARIABLE.search(name)) and not _NAMES_A_PLACE.search(name)
