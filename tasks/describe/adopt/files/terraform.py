"""Reads services, jobs and worker pools of Cloud Run in Terraform's files. Pure.

https://registry.terraform.io/providers/hashicorp/google/latest/docs/resources/cloud_run_v2_service
"""

from __future__ import annotations

import json
import posixpath
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import replace
from typing import Any

from hcl2.api import loads

from infra.gcp.run.members import EVERYONE, same
from tasks.describe.adopt.files.blocks import each_of, in_camel, text_of
from tasks.describe.adopt.files.knative import of_document, seen_of
from tasks.describe.adopt.files.settled import is_open
from tasks.describe.adopt.seen import Kind, Seen
from tasks.manifest.members import is_member

Json = dict[str, Any]
Module = Callable[[str], Mapping[str, str]]  # the texts of Terraform's files in a folder, by path
DEEPEST = 5  # modules that are in each other
INVOKER = "roles/run.invoker"
LATEST = '"latest"'  # as the parser gives a text
V2, V1 = "google_cloud_run_v2_service", "google_cloud_run_service"
KINDS = {V2: Kind.SERVICE, "google_cloud_run_v2_job": Kind.JOB, "google_cloud_run_v2_worker_pool": Kind.POOL}
# Of Terraform, not of the service.
_META = {"provider", "count", "for_each", "depends_on", "lifecycle", "timeouts", "deletion_protection", "traffic",
         "autogenerate_revision_name", "client", "client_version", "launch_stage", "effective_annotations",
         "instance_splits", "start_execution_token", "run_execution_token"}  # fmt: skip
# Attributes of other resources that are, for our purposes, one of their arguments.
_ATTRIBUTES: Mapping[str, Mapping[str, tuple[str, ...]]] = {
    "google_secret_manager_secret": {"secret_id": ("secret_id", "id", "name")},
    "google_vpc_access_connector": {"name": ("id", "name", "self_link")},
    "google_compute_network": {"name": ("id", "name", "self_link")},
    "google_compute_subnetwork": {"name": ("id", "name", "self_link")},
    "google_sql_database_instance": {"name": ("name",)},
    "google_storage_bucket": {"name": ("name",)},
}
_PROJECT = ("project", "var.project_id", "var.project", "var.gcp_project", "var.gcp_project_id", "local.project_id")
_EXPRESSION = re.compile(r"\$\{([^{}]*)\}")
_UNKNOWN = object()


def of_terraform(
    texts: Mapping[str, str], project: str = "", values: Sequence[str] = (), module: Module = lambda folder: {}
) -> list[Seen]:
    """The services, jobs and worker pools of these files, which may use each other's variables, and of modules.

    texts: by path. project: for which they are read, where that is known. values: the texts of .tfvars, the last of
    which wins. ValueError for what is no HCL.
    """
    return list(_of_folder(_all_parsed(texts), project, [_parsed(text) for text in values], module))


def _of_folder(
    files: Mapping[str, Json], project: str, values: Sequence[Json], module: Module, depth: int = 0
) -> Iterator[Seen]:
    there = list(files.values())
    scope = _Scope(there, project, values)
    callers = list(_callers(there, scope))
    for kind, label, block in _resources(there):
        for said in each_of(scope.evaluated(block)) if kind in (V1, *KINDS) else ():
            seen = _of_v1(said) if kind == V1 else _of_v2(said, KINDS[kind])
            own = {member for service, member in callers if service in (f"{kind}.{label}", seen.name)}
            yield _with(seen, own, block)
    for path, label, block in _modules(files) if depth < DEEPEST else ():
        folder = posixpath.normpath(posixpath.join(posixpath.dirname(path), _unquoted(block["source"])))
        inner = _all_parsed(module(folder))
        for said in each_of(scope.evaluated(block)):
            given = {key: _given(value, f"module.{label}.{key}") for key, value in said.items()}
            yield from _of_folder(inner, project, [given], module, depth + 1)


def _modules(files: Mapping[str, Json]) -> Iterator[tuple[str, str, Json]]:
    """Those of this repository: the path of the file, the name, and what it is given."""
    for path, file in files.items():
        for entry in file.get("module", ()):
            for label, block in entry.items():
                if _unquoted(block.get("source", "")).startswith("."):
                    yield path, label.strip('"'), block


def _given(value: Any, name: str) -> Any:
    """What a module is given, in which a name of the folder that gives it would mean something else."""
    if isinstance(value, Mapping):
        return {key: _given(inner, name) for key, inner in value.items()}
    if isinstance(value, list):
        return [_given(inner, name) for inner in value]
    return f"${{{name}}}" if is_open(value) else value


def _all_parsed(texts: Mapping[str, str]) -> dict[str, Json]:
    return {path: _parsed(text) for path, text in texts.items()}


def _parsed(text: str) -> Json:
    try:
        return dict(loads(text if text.endswith("\n") else f"{text}\n"))
    except Exception as error:  # lark raises what its parsers do, all of which say where it is
        raise ValueError(str(error).splitlines()[0]) from error


def _resources(files: Sequence[Json], group: str = "resource") -> Iterator[tuple[str, str, Json]]:
    for file in files:
        for entry in file.get(group, ()):
            for kind, labelled in entry.items():
                for label, block in labelled.items():
                    yield kind.strip('"'), label.strip('"'), block


class _Scope:
    """What variables and locals of the files stand for, and some attributes of other resources."""

    def __init__(self, files: Sequence[Json], project: str, values: Sequence[Json]) -> None:
        blocks = [entry for file in files for entry in file.get("variable", ())]
        said = {_unquoted(name): each for entry in blocks for name, each in entry.items()}
        given = {name: each["default"] for name, each in said.items() if "default" in each}
        given |= {name: value for each in values for name, value in each.items()}
        secret = {name for name, each in said.items() if each.get("sensitive") in (True, "true")}
        self.known: dict[str, Any] = {f"var.{name}": value for name, value in given.items() if name not in secret}
        for file in files:
            for entry in file.get("locals", ()):
                self.known |= {f"local.{name}": value for name, value in entry.items()}
        if project:
            self.known |= dict.fromkeys(_PROJECT, project)
        elif own := next((self.known[name] for name in _PROJECT if self.known.get(name)), None):
            self.known["project"] = own
        for group, prefix in (("resource", ""), ("data", "data.")):
            for kind, label, block in _resources(files, group):
                self.known |= {f"{prefix}{kind}.{label}.{each}": value for each, value in _attributes(kind, block)}

    def evaluated(self, value: Any, depth: int = 0) -> Any:
        """With what is known filled in; the rest keeps its `${…}`."""
        if isinstance(value, Mapping):
            return {key.strip('"'): self.evaluated(inner, depth) for key, inner in value.items()}
        if isinstance(value, list):
            return [self.evaluated(inner, depth) for inner in value]
        if not isinstance(value, str) or depth > 8:
            return value
        if whole := re.fullmatch(r"\$\{(?:to\w+\()?([\w.\[\]*\"-]+)\)?\}", value):
            found = self._named(whole[1])
            return value if found is _UNKNOWN else self.evaluated(found, depth + 1)
        if encoded := re.fullmatch(r"\$\{jsonencode\((.*)\)\}", value, re.DOTALL):
            return self._encoded(encoded[1], value, depth)
        text = _unquoted(value)
        filled = _EXPRESSION.sub(lambda found: self._text(found, depth), text)
        return filled.replace("$${", "${") if filled != text or "$${" not in text else filled

    def _named(self, name: str) -> Any:
        """What a name stands for; one of several resources of one block goes by its key."""
        if of_key := re.fullmatch(r"(.+)\[\"([^\"]+)\"\](\.\w+)", name):
            found = self.known.get(f"{of_key[1]}{of_key[3]}")
            return found.replace("${each.key}", of_key[2]) if isinstance(found, str) else _UNKNOWN
        return self.known.get(name, _UNKNOWN)

    def _encoded(self, text: str, value: str, depth: int) -> str:
        try:
            return json.dumps(self.evaluated(json.loads(text, strict=False), depth + 1))  # as the parser writes it
        except ValueError:
            return value

    def _text(self, found: re.Match[str], depth: int) -> str:
        known = self._named(found[1].strip())
        if known is _UNKNOWN:
            return found[0]
        value = self.evaluated(known, depth + 1)
        return str(value).lower() if isinstance(value, bool) else str(value)


def _attributes(kind: str, block: Json) -> Iterator[tuple[str, Any]]:
    if kind in ("google_project", "google_client_config"):
        yield from ((each, "${project}") for each in ("project_id", "project"))
    if kind == "google_sql_database_instance" and {"name", "region"} <= block.keys():
        project = _unquoted(block["project"]) if "project" in block else "${project}"
        yield "connection_name", f"{project}:{_unquoted(block['region'])}:{_unquoted(block['name'])}"
    if kind == "google_service_account" and "account_id" in block:
        yield "email", _account(block)
    if kind == "google_secret_manager_secret_version" and "secret" in block:
        yield from (("secret", block["secret"]), ("version", block.get("version", LATEST)))
    is_set = str(block.get("for_each", "")).startswith("${toset(")  # whose values are their keys
    for key, attributes in _ATTRIBUTES.get(kind, {}).items():
        if key in block:
            value = str(block[key]).replace("each.value", "each.key") if is_set else block[key]
            yield from ((each, value) for each in attributes)


def _account(block: Json) -> str:
    project = _unquoted(block["project"]) if "project" in block else "${project}"
    return f'"{_unquoted(block["account_id"])}@{project}.iam.gserviceaccount.com"'


def _unquoted(value: Any) -> str:
    text = str(value)
    if len(text) >= 2 and text[0] == text[-1] == '"':
        try:
            return str(json.loads(text, strict=False))
        except ValueError:
            return text[1:-1]
    return text


def _callers(files: Sequence[Json], scope: _Scope) -> Iterator[tuple[str, str]]:
    """Services, by reference or by name, with each who may invoke one."""
    for kind, _, block in _resources(files):
        if not re.fullmatch(r"google_cloud_run(_v2)?_service_iam_(member|binding|policy)", kind):
            continue
        said = scope.evaluated(block)
        members = [said.get("member", ""), *(said.get("members") or ())]
        if "noauth" in str(said.get("policy_data", "")):
            members.append(EVERYONE)
        name = str(said.get("name") or said.get("service") or "")
        name = re.sub(r"\$\{(google_cloud_run(?:_v2)?_service\.[\w-]+).*", r"\1", name)
        if said.get("role", INVOKER) == INVOKER:
            yield from ((name, same(str(member))) for member in members if member)


def _of_v2(said: Json, kind: Kind) -> Seen:
    told: list[str] = []
    body = in_camel({key: value for key, value in said.items() if key not in _META}, told)
    template = body.get("template", {})
    template = template.get("template", {}) if kind is Kind.JOB else template
    for container in template.get("containers", ()):
        if (
            kind is Kind.SERVICE and "resources" in container
        ):  # a block, be it empty, whose cpu_idle is false where it is not said
            container["resources"].setdefault("cpuIdle", False)
        for variable in container.get("env", ()):
            if "value" in variable:
                variable["value"] = text_of(variable["value"])
    for volume in template.get("volumes", ()):
        if "emptyDir" in volume:
            volume["emptyDir"].setdefault("medium", "MEMORY")
    name, region, project = (str(body.pop(key, "")) for key in ("name", "location", "project"))
    if isinstance(timeout := template.get("timeout"), int | float):
        template["timeout"] = f"{timeout}s"
    return seen_of(name, region, body, told, "" if is_open(project) else project, kind)


def _of_v1(said: Json) -> Seen:
    """Its blocks are those of the YAML of v1, in other letters."""
    told: list[str] = []
    body = in_camel({key: value for key, value in said.items() if key not in _META}, told)
    metadata, template = body.get("metadata") or {}, body.get("template") or {}
    kept = {key: metadata[key] for key in ("annotations", "labels") if key in metadata}
    spec = {"metadata": template.get("metadata", {}), "spec": template.get("spec", {})}
    seen = of_document({"metadata": {"name": body.get("name", ""), **kept}, "spec": {"template": spec}})
    region, project = (str(body.get(key, "")) for key in ("location", "project"))
    region, project = ("" if is_open(each) else each for each in (region, project))
    return replace(seen, region=region, project=project, decide=(*seen.decide, *told))


def _with(seen: Seen, callers: set[str], block: Json) -> Seen:
    ignored = " ".join(str(each.get("ignore_changes", "")) for each in block.get("lifecycle", ()))
    note = "Terraform made it: have it ignore the image, the revision and the traffic from now on."
    named = tuple(sorted(member for member in callers if is_member(member)))
    others = (f"invokers: {member}, which only its run knows." for member in sorted(callers - {EVERYONE, *named}))
    return replace(
        seen,
        public=EVERYONE in callers if seen.kind is Kind.SERVICE else None,
        invokers=named,
        notes=() if "image" in ignored else (note,),
        decide=(*seen.decide, *others),
    )
