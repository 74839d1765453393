"""Cloud Run's own rules, said before anything is asked of it, with the place in the file."""

from __future__ import annotations

import pytest

from tasks.failures.errors import ManifestError
from tasks.manifest.loading import parse_manifest
from tasks.manifest.settings import ServiceSettings

FILE = """
app: shop
services:
  api: API
environments:
  test: {project: acme-test, regions: [europe-west1, us-central1], ENVIRONMENT}
"""


def parsed(api: str, environment: str = "services: {}") -> ServiceSettings:
    text = FILE.replace("API", api).replace("ENVIRONMENT", environment)
    return parse_manifest(text).service_in("test", "api")


@pytest.mark.parametrize(
    ("api", "key", "said"),
    [
        ("{cpu: 3}", "cpu", "1, 2, 4, 6 or 8"),
        ("{cpu: 0.05}", "cpu", "at least 0.08"),
        ("{cpu: 0.5, concurrency: 80}", "concurrency", "1 with less than 1 CPU"),
        ("{cpu: 500m, cpu_throttling: false}", "cpu_throttling", "true with less than 1 CPU"),
        ("{cpu: 0.5, execution_environment: gen2}", "execution_environment", "gen1 with less"),
        ("{cpu: 1, memory: 8Gi}", "memory", "from 128Mi to 4Gi with 1 CPU"),
        ("{cpu: 4, memory: 1Gi}", "memory", "from 2Gi to 16Gi with 4 CPU"),
        ("{gpu: {type: nvidia-l4}, cpu: 2}", "cpu", "at least 4 with a GPU"),
        ("{gpu: {type: nvidia-l4}, memory: 8Gi}", "memory", "at least 16Gi"),
        ("{gpu: {type: nvidia-l4}, cpu_throttling: true}", "cpu_throttling", "false with a GPU"),
        ("{gpu: {type: k80}}", "gpu.type", "nvidia-l4"),
        ("{gpu: {type: nvidia-l4, container: m}}", "gpu.container", "no sidecar 'm'"),
        ("{gpu: {type: nvidia-l4, container: m}, sidecars: {m: {image: x, cpu: 2}}}", "sidecars.m.cpu", "at least 4"),
        (
            "{gpu: {type: nvidia-l4, container: m}, execution_environment: gen1, sidecars: {m: {image: x}}}",
            "execution_environment",
            "gen2 with a GPU",
        ),
        ("{startup_probe: {http: /up, period: 5m}}", "startup_probe.period", "1s to 240s"),
        (
            "{startup_probe: {http: /up, period: 10s, failure_threshold: 181}}",
            "startup_probe.failure_threshold",
            "1800s",
        ),
        ("{startup_probe: {http: /up, timeout: 20s}}", "startup_probe.timeout", "the period, which is 10s"),
        ("{startup_probe: {http: /up, tcp: true}}", "startup_probe", "one of http, tcp and grpc"),
        ("{startup_probe: {http: /up, period: 1.5s}}", "startup_probe.period", "whole seconds"),
        ("{liveness_probe: {tcp: true}}", "liveness_probe.tcp", "startup_probe only"),
        ("{vpc: {egress: all-traffic}}", "vpc", "either a connector, or network"),
        ("{vpc: {connector: a, subnet: b}}", "vpc", "either a connector, or network"),
        ("{vpc: {connector: a, tags: [b]}}", "vpc", "tags are for network and subnet"),
        ("{vpc: {connector: {europe-west1: a}}}", "environments.test.regions", "none for us-central1"),
        ("{cloudsql_instances: [main]}", "cloudsql_instances[0]", "project:region:name"),
        ("{labels: {Team: web}}", "labels.Team", "lower-case letters"),
        ("{labels: {slipway-run: x}}", "labels.slipway-run", "a release marks"),
        ("{annotations: {run.googleapis.com/cpu-throttling: 'false'}}", "annotations", "kept by Google"),
        ("{volumes: {tmp: {mount: /tmp}}}", "volumes.tmp", "one of memory, bucket and nfs"),
        ("{volumes: {tmp: {mount: tmp, memory: 64Mi}}}", "volumes.tmp.mount", "an absolute path"),
        ("{volumes: {tmp: {mount: /proc/x, memory: 64Mi}}}", "volumes.tmp.mount", "not in /dev, /proc or /sys"),
        (
            "{volumes: {a: {mount: /x, memory: 64Mi}, b: {mount: /x, bucket: shop}}}",
            "volumes.a.mount",
            "seen at /x too",
        ),
        ("{volumes: {a: {mount: /x, bucket: shop}}, cpu: 0.5}", "volumes.a", "needs 1 CPU"),
        ("{volumes: {a: {mount: /x, bucket: shop}}, execution_environment: gen1}", "volumes.a", "need the execution"),
        ("{secrets: {/key: k}}", "secrets", "path of a file in a folder"),
        ("{secrets: {/dev/key: k}}", "secrets", "not in /dev"),
        ("{secrets: {/s/a: one, /s/b: two}}", "secrets./s/b", "a folder shows one secret"),
        ("{secrets: {KEY: projects/a/secret/b}}", "secrets.KEY", "projects/PROJECT/secrets/NAME"),
        ("{env: {K_SERVICE: x}}", "env", "set by Cloud Run itself"),
        ("{starts_after: [proxy]}", "starts_after[0]", "no sidecar 'proxy'"),
        ("{sidecars: {a: {image: x, depends_on: [a]}}}", "sidecars.a.depends_on", "depends on itself: a -> a"),
        ("{sidecars: {a: {image: x, volumes: {tmp: /x}}}}", "sidecars.a.volumes.tmp", "no volume 'tmp'"),
        ("{scaling: {manual: 1, min: 2}}", "scaling", "either manual, or min"),
        ("{scaling: {min: 3, max: 2}}", "scaling", "more as min than as max"),
        ("{encryption_key: main}", "encryption_key", "cryptoKeys/KEY"),
        ("{ingress: public}", "ingress", "internal"),
    ],
)
def test_what_cloud_run_refuses_is_refused_with_its_place(api: str, key: str, said: str) -> None:
    with pytest.raises(ManifestError) as refused:
        parsed(api)
    assert key in refused.value.problem
    assert said in refused.value.problem


@pytest.mark.parametrize(
    "api",
    [
        "{cpu: 0.5, concurrency: 1, memory: 512Mi}",
        "{cpu: 0.5}",
        "{memory: 8Gi}",
        "{gpu: {type: nvidia-l4}, startup_probe: {http: /up, period: 1s, failure_threshold: 1800}}",
        "{gpu: {type: nvidia-l4, container: m}, cpu: 2, sidecars: {m: {image: x, cpu: 6, memory: 16Gi}}}",
        "{volumes: {a: {mount: /x, nfs: {server: 10.0.0.2, path: /}}}}",
        "{startup_probe: {tcp: true, period: 240s, failure_threshold: 1, timeout: 240s}}",
        "{vpc: {connector: {europe-west1: a, us-central1: b}, egress: all-traffic}}",
        "{secrets: {/s/a: one, /t/b: two, KEY: projects/acme-other/secrets/key:3}}",
        "{labels: {team: 3}, annotations: {example.com/owner: web}}",
        "{sidecars: {a: {image: x}, b: {image: y, depends_on: [a]}}, starts_after: [b]}",
        "{scaling: {manual: 0}}",
        "{env: {K_FACTOR: '2'}}",
    ],
)
def test_what_it_takes_is_taken(api: str) -> None:
    assert parsed(api)


def test_an_environment_says_its_own_and_merges_what_goes_by_names() -> None:
    found = parsed(
        "{labels: {team: web, cost: a}, session_affinity: true, sidecars: {a: {image: x}}}",
        "services: {api: {labels: {cost: b}, cpu_boost: false, sidecars: {b: {image: y}}}}",
    )
    assert found.labels == {"team": "web", "cost": "b"}
    assert found.sidecars.keys() == {"a", "b"}
    assert {"session_affinity", "cpu_boost", "labels"} <= found.model_fields_set
    assert "ingress" not in found.model_fields_set
