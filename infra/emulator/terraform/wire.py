"""Terraform's plugin protocol 5 as messages and values.

https://github.com/hashicorp/terraform/blob/v1.11.4/docs/plugin-protocol/tfplugin5.9.proto
Names of messages do not travel, numbers of fields do. Only what the stand-in uses is here.
"""

from __future__ import annotations

import json
from typing import Any, Final

import msgpack
from google.protobuf import descriptor_pb2, descriptor_pool, message_factory

# "type name=number"; * is repeated, % a map from string, ? is sent even where it is zero.
MESSAGES = """
Dynamic: bytes msgpack=1, bytes json=2
Step: string attribute_name=1, string element_key_string=2, ?int64 element_key_int=3
Path: *Step steps=1
Diagnostic: int32 severity=1, string summary=2, string detail=3, Path attribute=4
Attribute: string name=1, bytes type=2, string description=3, bool required=4, bool optional=5, bool computed=6, bool sensitive=7, bool write_only=10
Nested: string type_name=1, Block block=2, int32 nesting=3, int64 min_items=4, int64 max_items=5
Block: int64 version=1, *Attribute attributes=2, *Nested block_types=3
Schema: int64 version=1, Block block=2
Capabilities: bool plan_destroy=1, bool get_provider_schema_optional=2
Empty:
SchemaAnswer: Schema provider=1, %Schema resource_schemas=2, %Schema data_source_schemas=3, *Diagnostic diagnostics=4, Capabilities server_capabilities=6
PrepareRequest: Dynamic config=1
PrepareAnswer: Dynamic prepared_config=1, *Diagnostic diagnostics=2
ValidateRequest: string type_name=1, Dynamic config=2
ConfigureRequest: string terraform_version=1, Dynamic config=2
Told: *Diagnostic diagnostics=1
RawState: bytes json=1
UpgradeRequest: string type_name=1, int64 version=2, RawState raw_state=3
UpgradeAnswer: Dynamic upgraded_state=1, *Diagnostic diagnostics=2
ReadRequest: string type_name=1, Dynamic current_state=2, bytes private=3
ReadAnswer: Dynamic new_state=1, *Diagnostic diagnostics=2, bytes private=3
PlanRequest: string type_name=1, Dynamic prior_state=2, Dynamic proposed_new_state=3, Dynamic config=4, bytes prior_private=5
PlanAnswer: Dynamic planned_state=1, *Path requires_replace=2, bytes planned_private=3, *Diagnostic diagnostics=4, bool legacy_type_system=5
ApplyRequest: string type_name=1, Dynamic prior_state=2, Dynamic planned_state=3, Dynamic config=4, bytes planned_private=5
ApplyAnswer: Dynamic new_state=1, bytes private=2, *Diagnostic diagnostics=3, bool legacy_type_system=4
ImportRequest: string type_name=1, string id=2
Imported: string type_name=1, Dynamic state=2, bytes private=3
ImportAnswer: *Imported imported_resources=1, *Diagnostic diagnostics=2
DataRequest: string type_name=1, Dynamic config=2
DataAnswer: Dynamic state=1, *Diagnostic diagnostics=2
StopAnswer: string Error=1
"""  # noqa: E501
# By RPC of tfplugin5.Provider: what is asked, and what is answered.
RPCS = {
    "GetSchema": ("Empty", "SchemaAnswer"),
    "PrepareProviderConfig": ("PrepareRequest", "PrepareAnswer"),
    "ValidateResourceTypeConfig": ("ValidateRequest", "Told"),
    "ValidateDataSourceConfig": ("ValidateRequest", "Told"),
    "UpgradeResourceState": ("UpgradeRequest", "UpgradeAnswer"),
    "Configure": ("ConfigureRequest", "Told"),
    "ReadResource": ("ReadRequest", "ReadAnswer"),
    "PlanResourceChange": ("PlanRequest", "PlanAnswer"),
    "ApplyResourceChange": ("ApplyRequest", "ApplyAnswer"),
    "ImportResourceState": ("ImportRequest", "ImportAnswer"),
    "ReadDataSource": ("DataRequest", "DataAnswer"),
    "Stop": ("Empty", "StopAnswer"),
}
ERROR, LIST, SET, SINGLE = 1, 2, 3, 1  # severity; nesting of blocks
_Field = descriptor_pb2.FieldDescriptorProto
_SCALARS = {"bytes": 12, "string": 9, "bool": 8, "int32": 5, "int64": 3}


class Unknown:
    """What is known after apply only; extension 0 of msgpack."""

    def __repr__(self) -> str:
        return "<unknown>"


UNKNOWN: Final = Unknown()


def _messages() -> dict[str, Any]:
    file = descriptor_pb2.FileDescriptorProto(name="tfplugin5", package="tfplugin5", syntax="proto3")
    for line in MESSAGES.strip().splitlines():
        name, _, fields = line.partition(":")
        message = file.message_type.add(name=name)
        for field in filter(None, map(str.strip, fields.split(","))):
            _add(message, *field.split(" "))
    pool = descriptor_pool.DescriptorPool()
    pool.Add(file)
    found = {each.name: pool.FindMessageTypeByName(f"tfplugin5.{each.name}") for each in file.message_type}
    return {name: message_factory.GetMessageClass(descriptor) for name, descriptor in found.items()}


def _add(message: Any, kind: str, numbered: str) -> None:
    name, number = numbered.split("=")
    mark, kind = (kind[0], kind[1:]) if kind[0] in "*%?" else ("", kind)
    label = _Field.LABEL_OPTIONAL if mark in ("", "?") else _Field.LABEL_REPEATED
    field = message.field.add(name=name, number=int(number), label=label)
    if mark == "?":
        field.oneof_index, field.proto3_optional = len(message.oneof_decl), True
        message.oneof_decl.add(name=f"_{name}")
    if mark == "%":
        entry = message.nested_type.add(name="".join(part.title() for part in name.split("_")) + "Entry")
        entry.options.map_entry = True
        entry.field.add(name="key", number=1, type=9, label=1)
        entry.field.add(name="value", number=2, type=11, label=1, type_name=f".tfplugin5.{kind}")
        field.type, field.type_name = 11, f".tfplugin5.{message.name}.{entry.name}"
    elif kind in _SCALARS:
        field.type = _SCALARS[kind]
    else:
        field.type, field.type_name = 11, f".tfplugin5.{kind}"


M: Final = _messages()


def unpack(value: Any) -> Any:
    """A Dynamic as plain values; what is not known yet is UNKNOWN."""
    if value.msgpack:
        return msgpack.unpackb(value.msgpack, ext_hook=lambda _code, _data: UNKNOWN, strict_map_key=False)
    return json.loads(value.json) if value.json else None


def pack(value: Any) -> Any:
    return M["Dynamic"](msgpack=msgpack.packb(value, default=lambda _unknown: msgpack.ExtType(0, b"\0")))
