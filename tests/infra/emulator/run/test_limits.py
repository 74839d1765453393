"""What Cloud Run refuses of CPU, memory, concurrency, probes, networks and volumes, and what it takes."""

from __future__ import annotations

from typing import Any

import pytest
from google.cloud import run_v2

from infra.emulator.kernel.errors import RpcError
from infra.emulator.run.defaults import fill_in
from infra.emulator.run.state import ServicePb
from infra.emulator.run.validation import check_service

NAME = "projects/p/locations/europe-west1/services/svc"
IMAGE = "europe-west1-docker.pkg.dev/p/r/i"
GEN2 = run_v2.ExecutionEnvironment.EXECUTION_ENVIRONMENT_GEN2


def check(container: dict[str, Any] | None = None, /, **template: Any) -> None:
    """Raises what the API answers for a service of one container."""
    containers = template.pop("containers", None) or [{"image": IMAGE, **(container or {})}]
    service = run_v2.Service.pb(run_v2.Service(name=NAME, template={"containers": containers, **template}))
    assert isinstance(service, ServicePb)
    fill_in(service, 1)
    check_service(service)


def limits(cpu: str, memory: str, *, idle: bool = True, **more: str) -> dict[str, Any]:
    return {"resources": {"limits": {"cpu": cpu, "memory": memory, **more}, "cpu_idle": idle}}


@pytest.mark.parametrize(
    ("cpu", "memory"),
    [
        ("0.08", "128Mi"), ("0.25", "512Mi"), ("0.5", "1Gi"), ("1", "128Mi"), ("1000m", "4Gi"), ("2", "8Gi"),
        ("4", "2Gi"), ("4", "16Gi"), ("6", "24Gi"), ("8", "4Gi"), ("8", "32Gi"),
    ],
)  # fmt: skip
def test_cpu_and_memory_that_go_together_are_taken(cpu: str, memory: str) -> None:
    check(limits(cpu, memory))


@pytest.mark.parametrize(
    ("cpu", "memory", "said"),
    [
        ("1", "64Mi", "For 1.0 CPU, memory must be between 128Mi and 4Gi inclusive"),
        ("1", "8Gi", "For 1.0 CPU, memory must be between 128Mi and 4Gi inclusive"),
        ("0.25", "1Gi", "For 0.25 CPU, memory must be between 128Mi and 512Mi inclusive"),
        ("0.75", "2Gi", "For 0.75 CPU, memory must be between 128Mi and 1Gi inclusive"),
        ("4", "1Gi", "For 4.0 CPU, memory must be between 2Gi and 16Gi inclusive"),
        ("8", "512Mi", "For 8.0 CPU, memory must be between 4Gi and 32Gi inclusive"),
        ("8", "64Gi", "For 8.0 CPU, memory must be between 4Gi and 32Gi inclusive"),
        ("3", "1Gi", "must be one of 2, 4, 6, 8"),
        ("1.5", "1Gi", "must be one of 2, 4, 6, 8"),
        ("0.05", "128Mi", "at least 0.08"),
        ("0.0805", "128Mi", "steps of 0.001"),
        ("two", "1Gi", "'two' is not a quantity"),
        ("1", "lots", "'lots' is not a quantity"),
    ],
)
def test_cpu_and_memory_that_do_not_go_together_are_refused(cpu: str, memory: str, said: str) -> None:
    with pytest.raises(RpcError, match=said):
        check(limits(cpu, memory))


def test_less_than_one_cpu_serves_one_request_at_a_time_with_throttled_cpu_in_the_first_generation() -> None:
    check(limits("0.5", "512Mi"))
    with pytest.raises(RpcError, match="Total cpu < 1 is not supported with concurrency > 1"):
        check(limits("0.5", "512Mi"), max_instance_request_concurrency=80)
    with pytest.raises(RpcError, match="not supported with cpu always allocated"):
        check(limits("0.5", "512Mi", idle=False))
    with pytest.raises(RpcError, match="not supported with gen2"):
        check(limits("0.5", "512Mi"), execution_environment=GEN2)


def test_the_second_generation_needs_more_memory() -> None:
    with pytest.raises(RpcError, match="memory with gen2 execution environment"):
        check(limits("1", "256Mi"), execution_environment=GEN2)


def test_no_more_than_a_thousand_requests_share_an_instance() -> None:
    check(max_instance_request_concurrency=1000)
    with pytest.raises(RpcError, match="between 1 and 1000, got 1001"):
        check(max_instance_request_concurrency=1001)


def test_a_gpu_needs_the_cpu_and_memory_of_its_type() -> None:
    gpu = {"nvidia.com/gpu": "1"}
    check(limits("4", "16Gi", idle=False, **gpu), node_selector={"accelerator": "nvidia-l4"})
    with pytest.raises(RpcError, match="at least 4 CPU and 16Gi memory"):
        check(limits("2", "8Gi", idle=False, **gpu), node_selector={"accelerator": "nvidia-l4"})
    with pytest.raises(RpcError, match="of a type in template"):
        check(limits("4", "16Gi", idle=False, **gpu))


@pytest.mark.parametrize(
    ("kind", "probe", "said"),
    [
        ("startup_probe", {"period_seconds": 241, "timeout_seconds": 1}, "at most 240 seconds"),
        ("startup_probe", {"initial_delay_seconds": 241}, "at most 240 seconds"),
        ("startup_probe", {"period_seconds": 5, "timeout_seconds": 6}, "must not be greater than period_seconds"),
        ("startup_probe", {"period_seconds": 240, "failure_threshold": 10}, "at most 1800 seconds"),
        ("liveness_probe", {"tcp_socket": {"port": 80}}, "for startup probes only"),
        ("liveness_probe", {"period_seconds": 3601}, "at most 3600 seconds"),
        ("liveness_probe", {"period_seconds": 1, "timeout_seconds": 2}, "must not be greater than period_seconds"),
    ],
)
def test_probes_out_of_bounds_are_refused(kind: str, probe: dict[str, Any], said: str) -> None:
    with pytest.raises(RpcError, match=said):
        check({kind: {"http_get": {"path": "/"}, **probe} if "tcp_socket" not in probe else probe})


def test_googles_own_example_of_a_slow_start_is_taken() -> None:
    check({"startup_probe": {"tcp_socket": {}, "period_seconds": 1, "timeout_seconds": 1, "failure_threshold": 1800}})


CONNECTOR = "projects/p/locations/europe-west1/connectors/c"


@pytest.mark.parametrize(
    ("vpc", "said"),
    [
        ({"connector": CONNECTOR, "network_interfaces": [{"network": "n"}]}, "exclude each other"),
        ({"network_interfaces": [{"network": "n"}, {"network": "m"}]}, "only one is supported"),
        ({"network_interfaces": [{}]}, "must name a network or a subnetwork"),
        ({"egress": "ALL_TRAFFIC"}, "needs a connector or a network interface"),
        ({"connector": CONNECTOR.replace("europe-west1", "us-east1")}, "is not in europe-west1"),
    ],
)
def test_networks_that_cannot_be_are_refused(vpc: dict[str, Any], said: str) -> None:
    with pytest.raises(RpcError, match=said):
        check(vpc_access=vpc)


def test_a_network_of_the_services_region_is_taken() -> None:
    check(vpc_access={"connector": CONNECTOR, "egress": "ALL_TRAFFIC"})
    check(vpc_access={"network_interfaces": [{"network": "n", "subnetwork": "s"}]})


def mounted(source: dict[str, Any], path: str, name: str = "v") -> dict[str, Any]:
    containers = [{"image": IMAGE, "volume_mounts": [{"name": name, "mount_path": path}]}]
    return {"volumes": [{"name": "v", **source}], "containers": containers}


def test_a_mount_needs_its_volume_and_cloud_sql_its_folder() -> None:
    sql = {"cloud_sql_instance": {"instances": ["shop:europe-west1:db"]}}
    check(**mounted(sql, "/cloudsql"))
    check(**mounted({"empty_dir": {"size_limit": "64Mi"}}, "/tmp/x"))
    with pytest.raises(RpcError, match="volume 'w' not found"):
        check(**mounted(sql, "/cloudsql", "w"))
    with pytest.raises(RpcError, match="mounted at /cloudsql only"):
        check(**mounted(sql, "/db"))
    with pytest.raises(RpcError, match="form project:region:instance"):
        check(**mounted({"cloud_sql_instance": {"instances": ["db"]}}, "/cloudsql"))
    with pytest.raises(RpcError, match="must be an absolute path"):
        check(**mounted({"empty_dir": {}}, "tmp"))
    for path in ("/proc", "/dev/shm", "/x/../sys"):
        with pytest.raises(RpcError, match="is not allowed"):
            check(**mounted({"empty_dir": {}}, path))
    check(**mounted({"empty_dir": {}}, "/device"))


def test_a_container_has_one_port_of_a_name_that_cloud_run_knows() -> None:
    def ports(*them: dict[str, Any]) -> None:
        check(containers=[{"image": IMAGE, "ports": list(them)}])

    for name in ({}, {"name": "http1"}, {"name": "h2c"}):
        ports({"container_port": 9000, **name})
    with pytest.raises(RpcError, match="Port name must be one of"):
        ports({"container_port": 9000, "name": "grpc"})
    with pytest.raises(RpcError, match="Only a single port"):
        ports({"container_port": 9000}, {"container_port": 9001})


BUCKET = {"gcs": {"bucket": "shop-files"}}


def test_a_bucket_needs_the_second_generation_and_what_that_needs() -> None:
    def with_bucket(cpu: str, memory: str, **template: Any) -> None:
        made = mounted(BUCKET, "/data")
        made["containers"][0] |= limits(cpu, memory)
        check(**made, **template)

    with_bucket("1", "512Mi")
    with pytest.raises(RpcError, match="not supported with gen2"):
        with_bucket("0.5", "512Mi")
    with pytest.raises(RpcError, match="memory with gen2 execution environment"):
        with_bucket("1", "256Mi")
    with pytest.raises(RpcError, match="need the second generation"):
        with_bucket("1", "512Mi", execution_environment="EXECUTION_ENVIRONMENT_GEN1")


def test_volumes_and_where_they_are_seen_are_each_one_of_its_kind() -> None:
    twice = mounted({"empty_dir": {}}, "/x")
    with pytest.raises(RpcError, match="volume names must be unique"):
        check(**{**twice, "volumes": twice["volumes"] * 2})
    mount = {"name": "v", "mount_path": "/x"}
    with pytest.raises(RpcError, match="mount paths must be unique"):
        check(**{**twice, "containers": [{"image": IMAGE, "volume_mounts": [mount, mount]}]})


@pytest.mark.parametrize(
    ("said", "why"),
    [
        ({"description": "x" * 513}, "at most 512 characters"),
        ({"scaling": {"min_instance_count": 3, "max_instance_count": 2}}, "less than or equal to max_instance_count"),
    ],
)
def test_what_is_said_of_the_service_as_a_whole_has_its_limits(said: dict[str, Any], why: str) -> None:
    service = run_v2.Service.pb(run_v2.Service(name=NAME, template={"containers": [{"image": IMAGE}]}, **said))
    fill_in(service, 1)
    with pytest.raises(RpcError, match=why):
        check_service(service)


def test_a_container_depends_on_others_of_its_template_only() -> None:
    main = {"name": "main", "image": IMAGE, "ports": [{"container_port": 8080}], "depends_on": ["proxy"]}
    check(containers=[main, {"name": "proxy", "image": IMAGE, "startup_probe": {"tcp_socket": {"port": 5432}}}])
    with pytest.raises(RpcError, match="'proxy' is not another container"):
        check(containers=[main, {"name": "side", "image": IMAGE}])


def test_a_tag_and_its_service_name_share_the_room_of_a_host_name() -> None:
    tag = {"type_": "TRAFFIC_TARGET_ALLOCATION_TYPE_LATEST", "percent": 100}
    for length, fits in ((43, True), (44, False)):
        service = run_v2.Service(
            name=NAME, template={"containers": [{"image": IMAGE}]}, traffic=[{**tag, "tag": "t" * length}]
        )
        pb = run_v2.Service.pb(service)
        fill_in(pb, 1)
        if fits:
            check_service(pb)
        else:
            with pytest.raises(RpcError, match="together must have at most 46 characters"):
                check_service(pb)


@pytest.mark.parametrize("number", [1_000, 1_001])
def test_a_container_has_a_thousand_variables_at_most(number: int) -> None:
    """https://cloud.google.com/run/docs/configuring/services/environment-variables"""
    env = [{"name": f"N{each}", "value": "x"} for each in range(number)]
    if number == 1_000:
        check({"env": env})
    else:
        with pytest.raises(RpcError, match="No more than 1000 environment variables"):
            check({"env": env})
