"""What `terraform show -json` says of a saved plan and of a state, as values without anything sensitive. Pure.

https://developer.hashicorp.com/terraform/internals/json-format
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

NOTHING = ("no-op",)
READ = ("read",)


@dataclass(frozen=True, slots=True)
class Change:
    """What is to become of one resource."""

    address: str
    type: str
    actions: tuple[str, ...]  # create, update, delete, no-op, read; two of them for a replacement
    imports: str = ""  # the id under which it is taken into the state
    reason: str = ""  # why it is replaced, e.g. replace_because_cannot_update
    because: tuple[str, ...] = ()  # the attributes that force a replacement

    @property
    def deletes(self) -> bool:
        return "delete" in self.actions

    @property
    def replaces(self) -> bool:
        return self.deletes and "create" in self.actions

    @property
    def is_nothing(self) -> bool:
        return self.actions in (NOTHING, READ) and not self.imports

    @property
    def word(self) -> str:
        """What people call it."""
        if self.replaces:
            return "replace"
        return "adopt" if self.imports else self.actions[0]


@dataclass(frozen=True, slots=True)
class Plan:
    """A saved plan. `errored`: it failed half-way, and cannot be applied."""

    changes: tuple[Change, ...]
    errored: bool = False
    outputs_change: bool = False

    @property
    def is_empty(self) -> bool:
        return not self.changes


@dataclass(frozen=True, slots=True)
class Resource:
    """A resource of the state; `values` without what its provider calls sensitive."""

    address: str
    type: str
    values: Mapping[str, Any] = field(default_factory=dict, repr=False)
    tainted: bool = False  # it was made, but not read back: terraform would delete it, and make it anew


def read_plan(found: Mapping[str, Any]) -> Plan:
    """Of `terraform show -json PLAN`: what changes, and nothing of what stays."""
    changes = tuple(_change(each) for each in found.get("resource_changes", ()) if each.get("mode") != "data")
    outputs = found.get("output_changes", {}).values()
    return Plan(
        tuple(each for each in changes if not each.is_nothing),
        errored=bool(found.get("errored")),
        outputs_change=any(each.get("actions") != ["no-op"] for each in outputs),
    )


def _change(found: Mapping[str, Any]) -> Change:
    change = found["change"]
    return Change(
        address=found["address"],
        type=found["type"],
        actions=tuple(change["actions"]),
        imports=str((change.get("importing") or {}).get("id", "")),
        reason=found.get("action_reason", ""),
        because=tuple(".".join(map(str, path)) for path in change.get("replace_paths", ())),
    )


def read_state(found: Mapping[str, Any]) -> dict[str, Resource]:
    """Of `terraform show -json`, by address; nothing where there is no state yet."""
    root = (found.get("values") or {}).get("root_module", {})
    return {each.address: each for each in _resources(root)}


def _resources(module: Mapping[str, Any]) -> Iterator[Resource]:
    for each in module.get("resources", ()):
        if each.get("mode") == "managed" and "deposed_key" not in each:  # of the same address is its successor
            values = _without(each.get("values") or {}, each.get("sensitive_values") or {})
            yield Resource(each["address"], each["type"], values, bool(each.get("tainted")))
    for child in module.get("child_modules", ()):
        yield from _resources(child)


def _without(values: Any, sensitive: Any) -> Any:
    """`sensitive` has the shape of the values, and says true for what is."""
    if isinstance(values, Mapping) and isinstance(sensitive, Mapping):
        return {
            key: _without(value, sensitive.get(key)) for key, value in values.items() if sensitive.get(key) is not True
        }
    if isinstance(values, Sequence) and not isinstance(values, str) and isinstance(sensitive, Sequence):
        marks = [*sensitive, *[None] * (len(values) - len(sensitive))]
        return [_without(value, mark) for value, mark in zip(values, marks, strict=True) if mark is not True]
    return values


def read_outputs(found: Mapping[str, Any]) -> dict[str, Any]:
    """Of `terraform output -json`: what is not sensitive and has a value, which after a failure may be an old one."""
    return {
        name: each["value"]
        for name, each in found.items()
        if not each.get("sensitive") and each.get("value") is not None
    }
