"""What a run has found: each output with where it was had from and when the live API agreed. Pure.

After a failed apply `terraform output` still shows the values of before
(https://github.com/hashicorp/terraform/issues/13993), so what is live decides, and the rest says who knew it.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from infra.terraform.plan import Resource
from tasks.failures.redact import redact
from tasks.provision.look import Live
from tasks.provision.record import Output
from tasks.provision.wanted import API, GATEWAY, Wanted


@dataclass(frozen=True, slots=True)
class Known:
    """What Terraform says of it: its outputs, and its state by address."""

    outputs: Mapping[str, Any] = field(default_factory=dict)
    state: Mapping[str, Resource] = field(default_factory=dict)


def settle(wanted: Wanted, known: Known, live: Live, now: datetime) -> tuple[Output, ...]:
    """One for each thing that is wanted."""
    return tuple(_settled(wanted, known, live, now))


def _settled(wanted: Wanted, known: Known, live: Live, now: datetime) -> Iterator[Output]:
    said, again = wanted.provision, f"slipway provision --environment {wanted.environment}"
    in_state = _from_state(wanted, known.state)
    if said.gateway:
        for name, key, value in (
            ("gateway URL", "gateway_url", live.gateway_url),
            ("managed service", "managed_service", live.managed_service),
        ):
            yield _one(name, key, value, known.outputs.get(key), in_state.get(key), live, now, again)
    if said.has_key:
        version = _by_id(wanted.project, known.outputs.get("key_secret"))
        yield _one("API key", "key", live.key_version, version, in_state.get("key"), live, now, again)
    for kind, values in (("account", live.accounts), ("bucket", live.buckets), ("secret", live.secrets)):
        own = known.outputs.get(f"{kind}s") or {}
        for key, value in values.items():
            name = f"{kind} {key}"
            yield _one(name, name, value, own.get(key), None, live, now, again)
    for place, value in live.services.items():
        name = f"service {place}"
        ship = f"slipway deploy --environment {wanted.environment}"
        yield _one(name, name, value, None, None, live, now, ship)


def _one(
    name: str, key: str, value: str, output: object, state: object, live: Live, now: datetime, command: str
) -> Output:
    if not value:
        old = f"; Terraform still says {output}" if output else ""
        return Output(name=name, reason=redact(f"{live.wrong.get(key, 'it is not there')}{old}"), command=command)
    source = "terraform" if output == value else "state" if state == value else "live"
    return Output(name=name, value=value, source=source, checked=now, command=_shown_by(name, value))


def _shown_by(name: str, value: str) -> str:
    """The command that uses or shows it."""
    if name != "API key":
        return ""
    _, project, _, secret, _, version = value.split("/")
    return f"gcloud secrets versions access {version} --secret={secret} --project={project}"


def _from_state(wanted: Wanted, state: Mapping[str, Resource]) -> dict[str, str]:
    found: dict[str, str] = {}
    if gateway := state.get(GATEWAY):
        found["gateway_url"] = f"https://{gateway.values.get('default_hostname')}"
    if api := state.get(API):
        found["managed_service"] = str(api.values.get("managed_service"))
    if version := state.get(wanted.version_address):
        found["key"] = _by_id(wanted.project, version.values.get("name"))
    return found


def _by_id(project: str, version: object) -> str:
    """Secret Manager says the project by its number: projects/123456/secrets/NAME/versions/1."""
    _, found, rest = str(version or "").partition("/secrets/")
    return f"projects/{project}/secrets/{rest}" if found else ""


def rows(outputs: tuple[Output, ...]) -> list[dict[str, str]]:
    """The table at the end of a run."""
    return [
        {
            "output": each.name,
            "value": each.value or "missing",
            "source": each.source,
            "checked": each.checked.isoformat(timespec="seconds") if each.checked else "",
            "why": each.reason,
            "command": each.command,
        }
        for each in outputs
    ]
