"""What a resource looks like to Terraform, as values: attributes and nested blocks, and what follows from a change."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from infra.emulator.terraform.wire import LIST, SET, SINGLE, M

State = dict[str, Any]
TIMEOUTS = ("create", "update", "delete")


def as_it_is(value: str) -> str:
    return value


@dataclass(frozen=True, slots=True)
class Attribute:
    """type: string, bool, number, list, set or map (the last three of strings)."""

    type: str = "string"
    required: bool = False
    optional: bool = False
    computed: bool = False
    force_new: bool = False  # another value makes another resource
    sensitive: bool = False
    write_only: bool = False
    default: Any = None
    fold: Callable[[str], str] = as_it_is  # values that fold to the same are the same


@dataclass(frozen=True, slots=True)
class Nested:
    block: Block
    required: bool = False
    single: bool = False  # at most one
    force_new: bool = False
    set: bool = False


@dataclass(frozen=True, slots=True)
class Block:
    """one_of: groups of fields, of each of which exactly one is given. together: given all or none."""

    fields: Mapping[str, Attribute | Nested]
    one_of: Sequence[tuple[str, ...]] = ()
    together: Sequence[tuple[str, ...]] = ()
    timeouts: Sequence[str] = field(default=TIMEOUTS)


def required(type: str = "string", **more: Any) -> Attribute:
    return Attribute(type, required=True, **more)


def new(type: str = "string", **more: Any) -> Attribute:
    """Required, and another value makes another resource."""
    return Attribute(type, required=True, force_new=True, **more)


def optional(type: str = "string", **more: Any) -> Attribute:
    return Attribute(type, optional=True, **more)


def either(type: str = "string", **more: Any) -> Attribute:
    """Optional, and what Google says where it is not given."""
    return Attribute(type, optional=True, computed=True, **more)


def computed(type: str = "string", **more: Any) -> Attribute:
    return Attribute(type, computed=True, **more)


ID = {"id": either()}
PROJECT = {"project": either(force_new=True, fold=lambda value: value.removeprefix("projects/"))}
POLICY = {"deletion_policy": either()}
LABELS = {"labels": optional("map"), "effective_labels": computed("map"), "terraform_labels": computed("map")}


def to_proto(block: Block) -> Any:
    """The block as the protocol says it, without time-outs."""
    message = M["Block"]()
    for name, each in sorted(block.fields.items()):
        if isinstance(each, Nested):
            message.block_types.add(
                type_name=name,
                block=to_proto(each.block),
                nesting=SET if each.set else LIST,
                min_items=int(each.required),
                max_items=int(each.single),
            )
        else:
            cty = [each.type, "string"] if each.type in ("list", "set", "map") else each.type
            flags = ("required", "optional", "computed", "sensitive", "write_only")
            message.attributes.add(
                name=name, type=json.dumps(cty).encode(), **{flag: getattr(each, flag) for flag in flags}
            )
    return message


def schema_of(block: Block) -> Any:
    """A resource's schema."""
    message = to_proto(block)
    if block.timeouts:
        waits = Block({name: optional() for name in block.timeouts})
        message.block_types.add(type_name="timeouts", nesting=SINGLE, block=to_proto(waits))
    return M["Schema"](block=message)


def hollow(block: Block) -> State:
    """A resource of which nothing is known: every attribute null, and no blocks. All that is answered has this form."""
    empty: State = {name: [] if isinstance(each, Nested) else None for name, each in block.fields.items()}
    return {**empty, "timeouts": None} if block.timeouts else empty
