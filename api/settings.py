"""What `slipway serve` is told by its environment: secrets never stand in a command line."""

from __future__ import annotations

import hmac
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from tasks.failures.errors import ParameterError

TOKENS, SECRETS, LIMIT = "SLIPWAY_API_TOKENS", "SLIPWAY_HOOK_SECRETS", "SLIPWAY_API_REQUESTS_PER_MINUTE"
PROJECT = "SLIPWAY_METRICS_PROJECT"
AUDIENCE, CALLERS = "SLIPWAY_API_AUDIENCE", "SLIPWAY_API_CALLERS"
PER_MINUTE = 240


@dataclass(frozen=True, slots=True)
class Settings:
    """Several tokens and secrets at once, so that one can be replaced while the other is still in use."""

    tokens: tuple[bytes, ...] = ()  # without any, only this machine is answered
    secrets: tuple[bytes, ...] = ()  # of webhooks; without any, none is taken
    per_minute: int = PER_MINUTE  # requests of one address
    audience: str = ""  # that ID tokens of Google's have to be for; without it, none is taken
    callers: frozenset[str] = frozenset()  # e-mails whose ID tokens are taken, in lower case
    metrics_project: str = ""  # whose Cloud Monitoring gets the figures, too; '' for none

    @property
    def is_closed(self) -> bool:
        """Whether callers can show who they are."""
        return bool(self.tokens or self.callers)


def read_settings(environment: Mapping[str, str]) -> Settings:
    """What there can be several of is separated by white space; what is empty is none, as it would let everybody in.

    Raises ParameterError where one of audience and callers is set without the other.
    """
    audience, callers = environment.get(AUDIENCE, "").strip(), environment.get(CALLERS, "").lower().split()
    if bool(audience) != bool(callers):
        raise ParameterError(
            f"{AUDIENCE} and {CALLERS} are only of use together.",
            f"set {AUDIENCE} to the address of this server, and {CALLERS} to the e-mails that may call it.",
        )
    return Settings(
        _words(environment.get(TOKENS, "")),
        _words(environment.get(SECRETS, "")),
        int(environment.get(LIMIT) or PER_MINUTE),
        audience,
        frozenset(callers),
        environment.get(PROJECT, "").strip(),
    )


def is_one_of(given: bytes, known: Iterable[bytes]) -> bool:
    """All are compared: how long that takes tells nobody which it was."""
    return sum(hmac.compare_digest(given, each) for each in known) > 0


def _words(text: str) -> tuple[bytes, ...]:
    return tuple(word.encode() for word in text.split())
