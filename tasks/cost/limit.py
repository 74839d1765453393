"""What an estimate is held to, and what it says to people: the limit, the change, and what could be saved. Pure."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from tasks.cost.estimate import Million, Priced
from tasks.failures.errors import TooExpensive

SELDOM_PER_S = 1 / 60  # fewer requests than one a minute
WORTH_SAYING = 1.0  # a month, in whichever currency
UNKNOWN = "not known"


@dataclass(frozen=True, slots=True)
class Estimate:
    """Of all services, jobs and worker pools of an environment; those that are not released, as they are."""

    currency: str
    parts: tuple[Priced, ...]

    @property
    def floor(self) -> float | None:
        return _sum(part.floor for part in self.parts)

    @property
    def was(self) -> float | None:
        return _sum(part.was for part in self.parts)

    @property
    def gets_cheaper(self) -> bool:
        """By a cent at least."""
        return self.floor is not None and self.was is not None and self.floor <= self.was - 0.01

    @property
    def unknown(self) -> tuple[str, ...]:
        """What may cost more than the figures say."""
        return tuple(part.what for part in self.parts if part.floor is None or (part.gpu and part.floor))


def refuse_costly(environment: str, estimate: Estimate, max_floor: float | None) -> None:
    """Raises TooExpensive beyond the limit, and where nobody can tell: what is unknown is never cheap enough.

    A release by which it gets cheaper is let through, also where that is not enough yet.
    """
    if max_floor is None:
        return
    floor, key = estimate.floor, f"environments.{environment}.cost.max_floor"
    limit = money(max_floor, estimate.currency)
    if floor is None or estimate.unknown:
        parts = ", ".join(estimate.unknown)
        raise TooExpensive(
            f"What {environment} costs in a month without requests is not known, so that it cannot be held to {limit}, "
            f"which {key} allows: Google's list has no price for all of {parts}.",
            f"fill in `override` with your name and reason, or take {key} away.",
        )
    if floor > max_floor and not estimate.gets_cheaper:
        cost = change(floor, estimate.was, estimate.currency)
        raise TooExpensive(
            f"In a month without any request {environment} would cost {cost}. That is more than {limit}, which {key} "
            f"allows. Most of it: {_most(estimate)}.",
            f"keep fewer instances or smaller ones, raise {key}, or fill in `override` with your name and reason.",
        )


def _most(estimate: Estimate) -> str:
    found = sorted(estimate.parts, key=lambda part: part.floor or 0.0, reverse=True)
    return ", ".join(f"{part.what} {money(part.floor or 0.0, estimate.currency)}" for part in found[:3] if part.floor)


def warnings(estimate: Estimate) -> Iterator[str]:
    """What could be saved, and how; what cannot be told."""
    for part in estimate.parts:
        if part.floor is None:
            yield f"{part.what}: there is no price for it on Google's list, so its cost is not known."
        if part.gpu:
            yield f"{part.what}: what its GPU costs comes on top; no figure here has it."
        if part.former >= WORTH_SAYING:
            saved = money(part.former, estimate.currency)
            yield (
                f"{part.what}: {saved} a month are for instances of versions that do not serve any more, which "
                f"min_instances keeps running too. `scaling: {{min: …}}` of {part.key} counts once."
            )
        if part.floor and part.traffic and part.traffic.per_s < SELDOM_PER_S and part.floor >= WORTH_SAYING:
            saved = money(part.floor, estimate.currency)
            an_hour = part.traffic.per_s * 3600
            yield (
                f"{part.what}: instances are kept running for {saved} a month, and it had {an_hour:.1f} requests an "
                "hour of late. Without them they start when somebody calls."
            )


def rows(estimate: Estimate) -> list[dict[str, str]]:
    """The table; the last row is the sum."""
    found = [_row(part, estimate.currency) for part in estimate.parts]
    total = {"what": "together", "floor a month": change(estimate.floor, estimate.was, estimate.currency)}
    return [*found, {**dict.fromkeys(found[0], ""), **total}] if found else []


def _row(part: Priced, currency: str) -> dict[str, str]:
    used = "" if part.hour is None else f"{money(part.hour, currency)} an hour of a task"
    return {
        "what": part.what,
        "floor a month": change(part.floor, part.was, currency),
        "per million requests": used or _said_million(part, currency),
        "ceiling a month": "" if part.hour is not None else _known(part.ceiling, currency),
    }


def _said_million(part: Priced, currency: str) -> str:
    found: Million | None = part.million
    if part.key.startswith("worker_pools."):
        return ""
    if found is None or part.traffic is None:
        return "no traffic yet" if part.traffic is None else UNKNOWN
    return (
        f"{money(found.mean, currency)} at {part.traffic.mean_ms:.0f} ms ({money(found.p50, currency)} at p50, "
        f"{money(found.p95, currency)} at p95)"
    )


def change(now: float | None, was: float | None, currency: str) -> str:
    """53.23 USD (+13.20); what is the same is said once."""
    if now is None or was is None or round(now - was, 2) == 0:
        return _known(now, currency)
    return f"{money(now, currency)} ({now - was:+,.2f})"


def _known(amount: float | None, currency: str) -> str:
    return UNKNOWN if amount is None else money(amount, currency)


def money(amount: float, currency: str) -> str:
    return f"{amount:,.2f} {currency}"


def _sum(amounts: Iterator[float | None]) -> float | None:
    """None as soon as one is not known."""
    total = 0.0
    for amount in amounts:
        if amount is None:
            return None
        total += amount
    return total
