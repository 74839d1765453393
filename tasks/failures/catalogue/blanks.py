"""Fills the blanks of a problem or remedy with what the message itself names, or the run knows.

A blank is filled only when its value was surely read: it stands at a place where messages give it, it fits the
grammar of its kind, and the message gives no other. A part of a template in brackets is shown only if every blank
in it is filled; else what follows its bar is: `Enable it[ with `gcloud services enable {api}`| in the console].`
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass, fields

from tasks.failures.catalogue.grammar import fits
from tasks.failures.catalogue.permissions import role_for, role_titled
from tasks.failures.catalogue.places import PLACES, SLOTS, Places


@dataclass(frozen=True, slots=True)
class Known:
    """What a run knows about the failure besides its message; '' is unknown. `region` is a Cloud Run region."""

    project: str = ""
    region: str = ""
    service: str = ""  # its name at Cloud Run, without project and region
    revision: str = ""
    account: str = ""  # the service account that the work runs as
    build: str = ""  # the id of a Cloud Build build in `region`

    def __post_init__(self) -> None:
        for each in fields(self):
            value = getattr(self, each.name)
            if value and not fits(each.name, value):
                object.__setattr__(self, each.name, "")

    def of(self, slots: Iterable[str]) -> dict[str, str]:
        """The slots that the run knows; those of one group (a build and its region) together or not at all."""
        whole = {
            **{each.name: getattr(self, each.name) for each in fields(self)},
            "own_project": self.project,
            **({"service_project": self.project, "service_region": self.region} if self.service else {}),
            **({"build_project": self.project, "build_region": self.region} if self.build else {}),
        }
        return {slot: whole[slot] for slot in slots if whole.get(slot)}


NOTHING = Known()
_OPTIONAL = re.compile(r"\[([^\[\]]*)\]")
_SLOT = re.compile(r"\{(\w+)\}")


def fill(template: str, message: str, known: Known = NOTHING) -> str:
    """The template with its blanks filled from the message and what is known."""
    values = Values(message, known)

    def chosen(optional: re.Match[str]) -> str:
        for choice in optional[1].split("|"):
            if all(values.get(slot) for slot in _SLOT.findall(choice)):
                return _SLOT.sub(lambda slot: values.get(slot[1]), choice)
        return ""

    return _OPTIONAL.sub(chosen, template)


class Values:
    """What a message says for each slot, read when it is asked for."""

    def __init__(self, message: str, known: Known = NOTHING) -> None:
        self._message, self._known = message, known
        self._read: dict[str, str] = {}

    def get(self, slot: str) -> str:
        """'' if it was not surely read."""
        if slot == "member":
            return _member(self.get("principal"))
        if slot == "role":
            return self._role()
        if slot not in self._read:
            group = PLACES[SLOTS[slot]]
            self._read |= dict.fromkeys(group.slots, "") | _values(group, self._message, self._known)
        return self._read[slot]

    def _role(self) -> str:
        """A missing permission says which role; the roles that a message names may be those to be granted."""
        if permission := self.get("permission"):
            return role_for(permission)
        if "role" not in self._read:
            self._read["role"] = _values(PLACES["role"], self._message, NOTHING).get("role", "")
        return self._read["role"] or role_titled(self._message)


def _values(group: Places, message: str, known: Known) -> dict[str, str]:
    mine = known.of(group.slots)
    for tier in group.tiers:
        found = _all_values(tier, message)
        if not found:
            continue
        if all(mine.get(slot) in values for slot, values in found.items()):
            return mine
        sure = {slot: value for slot, values in found.items() if (value := _only(slot, values))}
        return sure if len(sure) == len(found) else {}
    return mine


def _all_values(tier: Iterable[re.Pattern[str]], message: str) -> dict[str, set[str]]:
    """Slot -> every value that the message gives at these places; '' for one that is none of its kind."""
    found: dict[str, set[str]] = {}
    for pattern in tier:
        for place in pattern.finditer(message):
            for slot, value in place.groupdict().items():
                value = value.removesuffix(".")  # the sentence's
                found.setdefault(slot, set()).add(value if fits(slot, value) else "")
    return found


def _only(slot: str, values: set[str]) -> str:
    """The one value, '' for several. A project's id and its number are one project."""
    if slot.endswith("project") and len(values) > 1:
        ids = {value for value in values if not value.isdecimal()}
        values = ids if len(ids) == 1 and len(values) == 2 else values
    return next(iter(values)) if len(values) == 1 else ""


def _member(principal: str) -> str:
    """An IAM member, which says its kind."""
    if not principal:
        return ""
    return f"{'serviceAccount' if principal.endswith('gserviceaccount.com') else 'user'}:{principal}"
