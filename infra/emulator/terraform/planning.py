"""What will be, and what of it needs another resource. Values in, values out.

The real provider is built with an SDK that takes null, empty, false and zero for the same
(https://developer.hashicorp.com/terraform/plugin/framework/migrating/benefits), and so does this one.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from infra.emulator.terraform.schema import Attribute, Block, Nested, State
from infra.emulator.terraform.wire import UNKNOWN

Path = tuple[str | int, ...]
ATTRIBUTION = {
    "goog-terraform-provisioned": "true"
}  # https://cloud.google.com/docs/terraform/understanding-apis-and-terraform
NOTHING: tuple[Any, ...] = (None, "", [], {}, False, 0)


def filled(block: Block, wanted: Mapping[str, Any], *, create: bool) -> State:
    """What is not known yet becomes UNKNOWN, what is not given its default, and what is only written null."""
    out: State = {}
    for name, field in block.fields.items():
        value = wanted.get(name)
        if isinstance(field, Nested):
            out[name] = _filled_blocks(field, value, create=create)
        elif field.write_only:
            out[name] = None
        elif value is None and field.default is not None:
            out[name] = field.default
        elif value is None and field.computed and create:
            out[name] = UNKNOWN
        else:
            out[name] = value
    return out


def _filled_blocks(field: Nested, value: Any, *, create: bool) -> Any:
    if not isinstance(value, list):
        return value if value is UNKNOWN else []
    return [filled(field.block, item, create=create) if isinstance(item, dict) else item for item in value]


def normal(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: plain for key, item in value.items() if (plain := normal(item)) not in NOTHING}
    if isinstance(value, list):
        return [normal(item) for item in value]
    return None if value is not UNKNOWN and value in NOTHING else value


def same(field: Attribute | Nested, before: Any, after: Any) -> bool:
    """Whether a change from `before` to `after` is none."""
    if isinstance(field, Nested):
        return _same_blocks(field, before, after)
    if isinstance(before, str) and isinstance(after, str):
        return field.fold(before) == field.fold(after)
    if field.type == "set" and isinstance(before, list) and isinstance(after, list):
        return sorted(map(str, before)) == sorted(map(str, after))
    return (normal(before) or None) == (normal(after) or None)


def _same_blocks(field: Nested, before: Any, after: Any) -> bool:
    if after is UNKNOWN or len(before or ()) != len(after or ()):
        return False
    pairs = zip(before or (), after or (), strict=True)
    fields = field.block.fields.items()
    return all(
        isinstance(new, dict) and isinstance(old, dict) and all(same(f, old.get(n), new.get(n)) for n, f in fields)
        for old, new in pairs
    )


def replacing(block: Block, before: Mapping[str, Any], after: Mapping[str, Any]) -> Iterator[Path]:
    """Where a change makes another resource."""
    for name, field in block.fields.items():
        old, new = before.get(name), after.get(name)
        if same(field, old, new):
            continue
        if isinstance(field, Nested) and isinstance(new, list) and len(old or ()) == len(new):
            for index, (was, is_now) in enumerate(zip(old or (), new, strict=True)):
                if isinstance(was, dict) and isinstance(is_now, dict):
                    yield from ((name, index, *rest) for rest in replacing(field.block, was, is_now))
        elif field.force_new:
            yield (name,)


def planned(block: Block, prior: Mapping[str, Any] | None, wanted: Mapping[str, Any]) -> State:
    """What the resource will be. A value that only looks different stays as it was."""
    out = filled(block, wanted, create=prior is None)
    if "timeouts" in wanted:
        out["timeouts"] = wanted["timeouts"]
    if prior is not None:
        for name, field in block.fields.items():
            if same(field, prior.get(name), out.get(name)):
                out[name] = prior.get(name)
    return out


def label(state: State, prior: Mapping[str, Any] | None, defaults: Mapping[str, str], *, attribution: bool) -> None:
    """Plans what labels there will be: those of the resource, of the provider, and of others, which stay.

    https://registry.terraform.io/providers/hashicorp/google/latest/docs/guides/provider_reference#default_labels-1
    Terraform's own mark is set on what it makes, and not added to what it finds.
    """
    own = state.get("labels")
    if own is UNKNOWN or any(value is UNKNOWN for value in (own or {}).values()):
        state["terraform_labels"] = state["effective_labels"] = UNKNOWN
        return
    before = {} if prior is None else prior.get("terraform_labels") or {}
    marked = attribution if prior is None else ATTRIBUTION.keys() <= before.keys()
    mine = {**defaults, **(own or {}), **(ATTRIBUTION if marked else {})}
    others = {} if prior is None else prior.get("effective_labels") or {}
    effective = {key: value for key, value in others.items() if key not in before} | mine
    for name, value in (("terraform_labels", mine), ("effective_labels", effective)):
        state[name] = value if prior is None or value != (prior.get(name) or {}) else prior.get(name)
