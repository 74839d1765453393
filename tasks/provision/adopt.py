"""What becomes of that which is there, but not in Terraform's state. Pure.

Terraform itself stops at it with a 409, run after run: https://github.com/hashicorp/terraform/issues/36936. A name that
is there says not yet that it is the same thing, so only what is ours beyond doubt is taken over without a question.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Literal

from infra.terraform.plan import Resource
from tasks.provision.wanted import Kind, Thing, Wanted, by_name

Adopt = Literal["ask", "own", "never"]


@dataclass(frozen=True, slots=True)
class Found:
    """A thing that is there, and what it says of itself."""

    thing: Thing
    labels: Mapping[str, str]
    display_name: str = ""
    state: str = "ACTIVE"

    @property
    def is_at_work(self) -> bool:
        """Somebody is making, changing or deleting it; often nobody but a run that is gone."""
        return self.state in ("CREATING", "ACTIVATING", "UPDATING", "DELETING")


@dataclass(frozen=True, slots=True)
class Adoption:
    """`own` is taken over; about `others` somebody must decide. `wrecks` are our own that could not be made."""

    own: tuple[Found, ...] = ()
    others: tuple[Found, ...] = ()
    wrecks: tuple[Found, ...] = ()

    @property
    def imports(self) -> dict[str, str]:
        """Of what is ours, by address."""
        return imports(self.own)


def to_look_for(things: Iterable[Thing], in_state: Collection[str]) -> tuple[Thing, ...]:
    """An import of what is in the state would be for nothing, and of what is not there fails the plan."""
    return tuple(each for each in things if each.address not in in_state)


def moved(things: Iterable[Thing], state: Mapping[str, Resource]) -> dict[str, str]:
    """By the address of before, where it is now: a bucket that slipway.yaml has another key for is still the same one.

    To take it into the state under the new address, too, would be to delete it under the old one.
    """
    return {**dict(by_name(state)), **dict(_moved(tuple(things), state))}


def _moved(things: tuple[Thing, ...], state: Mapping[str, Resource]) -> Iterator[tuple[str, str]]:
    addresses = {each.address for each in things}
    left = {
        each.values.get("name"): each.address
        for each in state.values()
        if each.type == "google_storage_bucket" and each.address not in addresses
    }
    for thing in things:
        if thing.kind is Kind.BUCKET and thing.address not in state and thing.name in left:
            yield left[thing.name], thing.address


def decide(wanted: Wanted, found: Iterable[Found], mode: Adopt) -> Adoption:
    """Whose each of them is, as far as this environment may take it over."""
    there = tuple(found)
    own = tuple(each for each in there if mode != "never" and is_own(wanted, each))
    wrecks = tuple(each for each in own if each.state == "FAILED")
    return Adoption(
        tuple(each for each in own if each not in wrecks), tuple(each for each in there if each not in own), wrecks
    )


def is_own(wanted: Wanted, found: Found) -> bool:
    """It bears this environment's labels, all of them; what can have none bears its display name.

    A name is no proof, however it is derived: shop in production-eu and shop-production in eu have the same one, and
    people call gateways so by hand. All that a run makes is marked in the call that makes it.
    """
    if found.thing.display_name:
        return found.display_name == found.thing.display_name
    return wanted.labels.items() <= found.labels.items()


def imports(found: Iterable[Found]) -> dict[str, str]:
    return {each.thing.address: each.thing.import_id for each in found}


def listed(found: Iterable[Found]) -> str:
    """A line for each."""
    return "\n".join(f"- {each.thing.kind} {each.thing.name}{_whose(each)}" for each in found)


def _whose(found: Found) -> str:
    app, environment = found.labels.get("slipway-app"), found.labels.get("slipway-environment")
    return f", of {app} in {environment}" if app else ""
