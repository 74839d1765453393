"""slipway.yaml for what is there: said, checked as any other before anybody sees it."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from tasks.describe.adopt.beside import beside
from tasks.describe.adopt.render import manifest_text
from tasks.describe.adopt.seen import Kind, Seen
from tasks.describe.adopt.together import Adopted, Target, together, without
from tasks.failures.errors import ManifestError
from tasks.manifest.loading import Fault, fault_line
from tasks.preflight.offline import check_text

_WHOLLY = ("name", "source")  # without which it would be another service


@dataclass(frozen=True, slots=True)
class Adoption:
    """What is to be written, and what it is about."""

    text: str
    services: tuple[Adopted, ...]
    environment: str
    notes: tuple[str, ...] = ()


def adopt(app: str, target: Target, seen: Sequence[Seen], notes: Sequence[str] = ()) -> Adoption:
    """A new slipway.yaml, which the offline check accepts. What it refuses is told in a comment instead.

    Raises ManifestError where it refuses the app's name or the environment.
    """
    services = together(app, target, [each for each in seen if each.kind is Kind.SERVICE], {})
    services = (*services, *beside(app, target, seen, services))

    def written(services: Sequence[Adopted], notes: Sequence[str]) -> str:
        return manifest_text(app, target, services, notes)

    return checked(written, services, target.name, notes)


def checked(
    written: Callable[[Sequence[Adopted], Sequence[str]], str],
    services: Sequence[Adopted],
    environment: str,
    notes: Sequence[str],
) -> Adoption:
    """As much of it as slipway.yaml takes."""
    found, told = {(str(each.kind), each.key): each for each in services}, list(notes)
    while True:
        text = written(tuple(found.values()), told)
        faults = check_text(text, "slipway.yaml")
        if not faults:
            return Adoption(text, tuple(found.values()), environment, tuple(told))
        mended = [_mended(fault, environment, found, told) for fault in faults]
        if not any(mended) or not found:
            said = "\n  ".join(fault_line(fault) for fault in faults)
            raise ManifestError(
                f"What was found cannot be said in slipway.yaml:\n  {said}",
                "give another --app or --environment, or name the services that are to be adopted with --service.",
            )


def _mended(fault: Fault, environment: str, found: dict[tuple[str, str], Adopted], notes: list[str]) -> bool:
    """Takes out what the fault is about; whether there was anything to take out."""
    for kind in Kind:
        for prefix in (f"{kind}.", f"environments.{environment}.{kind}."):
            key, _, rest = fault.key.removeprefix(prefix).partition(".")
            place = (str(kind), key)
            if not fault.key.startswith(prefix) or place not in found:
                continue
            less: Any = without(found[place], rest, fault.problem) if rest.split(".")[0] not in _WHOLLY else None
            if less is None:
                name = found.pop(place).name
                notes.append(f"{name} was left out: {fault.key}: {fault.problem}")
            else:
                found[place] = less
            return True
    return False
