"""What a template's parts must say about each other: containers, volumes, networks, Cloud SQL.

https://cloud.google.com/run/docs/reference/rest/v2/projects.locations.services#RevisionTemplate
"""

from __future__ import annotations

import posixpath
import re
from graphlib import CycleError, TopologicalSorter
from typing import Any

from google.cloud.run_v2 import ExecutionEnvironment

from infra.emulator.kernel.errors import invalid
from infra.emulator.run.limits import is_second_generation

CLOUD_SQL_INSTANCE = re.compile(r"(?:[a-z0-9.-]+:)?[a-z][a-z0-9-]+:[a-z0-9-]+:[a-z0-9-]+")  # a domain's project first
CONTAINER_NAME = re.compile(r"[a-z0-9]([a-z0-9.-]{0,61}[a-z0-9])?")
GEN1 = ExecutionEnvironment.EXECUTION_ENVIRONMENT_GEN1
CLOUD_SQL_FOLDER = "/cloudsql"
# https://cloud.google.com/run/docs/configuring/services/cloud-storage-volume-mounts#disallowed_paths
SYSTEM = ("dev", "proc", "sys")


def check_wiring(template: Any, field: str, location: str) -> None:
    """Raises INVALID_ARGUMENT where one part names what another does not have."""
    _check_dependencies(template.containers, f"{field}.containers")
    _check_volumes(template, field)
    if template.HasField("vpc_access"):
        _check_network(template.vpc_access, f"{field}.vpc_access", location)


def check_container_name(name: str, field: str) -> None:
    """In the words of https://github.com/hashicorp/terraform-provider-google/issues/21035."""
    if not CONTAINER_NAME.fullmatch(name):
        raise invalid(
            f"{field}: Invalid container name '{name}'. Must conform to RFC 1123: only lowercase letters, digits, "
            "hyphens, and periods are allowed, must begin and end with a letter or digit, and be less than 64 "
            "characters",
            field,
        )


def _check_dependencies(containers: Any, field: str) -> None:
    """A container may wait for others without having a name itself, as that issue shows; a startup probe is what it
    waits for: https://github.com/GoogleCloudPlatform/cloud-run-samples/issues/230.
    """
    by_name = {container.name: container for container in containers}
    if len(by_name) != len(containers):
        raise invalid(f"{field}: Container names must be unique, and given where there are several.", field)
    for index, container in enumerate(containers):
        if container.name:
            check_container_name(container.name, f"{field}[{index}].name")
    for index, container in enumerate(containers):
        where = f"{field}[{index}].depends_on"
        for needed in container.depends_on:
            if needed not in by_name or needed == container.name:
                raise invalid(f"{where}: '{needed}' is not another container of this template.", where)
            if not by_name[needed].HasField("startup_probe"):
                raise invalid(f"{where}: Dependent container '{needed}' must have startup probe specified", where)
    try:
        TopologicalSorter({name: list(each.depends_on) for name, each in by_name.items()}).prepare()
    except CycleError as error:
        raise invalid(f"{field}: containers wait for each other: {' -> '.join(error.args[1])}.", field) from error


def _check_volumes(template: Any, field: str) -> None:
    _check_sources(template, field)
    volumes = {volume.name: volume for volume in template.volumes}
    for index, container in enumerate(template.containers):
        where = f"{field}.containers[{index}].volume_mounts"
        paths = [mount.mount_path for mount in container.volume_mounts]
        if len(set(paths)) != len(paths):
            raise invalid(f"{where}: mount paths must be unique.", where)
        for mount in container.volume_mounts:
            _check_mount(mount, volumes.get(mount.name), where)


def _check_sources(template: Any, field: str) -> None:
    if len({volume.name for volume in template.volumes}) != len(template.volumes):
        raise invalid(f"{field}.volumes: volume names must be unique.", f"{field}.volumes")
    if getattr(template, "execution_environment", None) == GEN1 and is_second_generation(template):
        where = f"{field}.execution_environment"
        raise invalid(f"{where}: Cloud Storage and NFS volumes need the second generation.", where)
    for volume in template.volumes:
        where = f"{field}.volumes[{volume.name}]"
        if volume.WhichOneof("volume_type") is None:
            raise invalid(f"{where}: must have exactly one source.", where)
        for instance in volume.cloud_sql_instance.instances:
            if not CLOUD_SQL_INSTANCE.fullmatch(instance):
                raise invalid(f"{where}: '{instance}' must have the form project:region:instance.", where)


def _check_mount(mount: Any, volume: Any, where: str) -> None:
    if volume is None:
        raise invalid(f"{where}: volume '{mount.name}' not found.", where)
    sql = volume.HasField("cloud_sql_instance")
    if sql and mount.mount_path not in ("", CLOUD_SQL_FOLDER):
        raise invalid(f"{where}: Cloud SQL is mounted at {CLOUD_SQL_FOLDER} only.", where)
    if not sql and not mount.mount_path.startswith("/"):
        raise invalid(f"{where}: '{mount.mount_path}' must be an absolute path.", where)
    if posixpath.normpath(mount.mount_path).split("/")[1] in SYSTEM:
        raise invalid(f"{where}: mounting at '{mount.mount_path}' is not allowed.", where)


def _check_network(vpc: Any, field: str, location: str) -> None:
    if vpc.connector and vpc.network_interfaces:
        raise invalid(f"{field}: a connector and network interfaces exclude each other.", field)
    if len(vpc.network_interfaces) > 1:
        raise invalid(f"{field}.network_interfaces: only one is supported.", field)
    if vpc.egress and not (vpc.connector or vpc.network_interfaces):
        raise invalid(f"{field}.egress: needs a connector or a network interface.", field)
    for interface in vpc.network_interfaces:
        if not (interface.network or interface.subnetwork):
            raise invalid(f"{field}.network_interfaces: must name a network or a subnetwork.", field)
        _check_region(interface.subnetwork, "subnetworks", location, field)
    _check_region(vpc.connector, "connectors", location, field)


def _check_region(name: str, collection: str, location: str, field: str) -> None:
    """A connector or subnetwork given by its full name lies in the service's own region."""
    found = re.search(rf"/(?:locations|regions)/([^/]+)/{collection}/", name)
    if found and found[1] != location:
        raise invalid(f"{field}: '{name}' is not in {location}, the region of the service.", field)
