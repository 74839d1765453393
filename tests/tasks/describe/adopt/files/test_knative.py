"""A service in YAML: what gcloud run services replace takes, and the body of v2."""

from __future__ import annotations

from pathlib import Path

import pytest

from tasks.describe.adopt.files.found import read_files
from tasks.describe.adopt.seen import Seen
from tasks.failures.errors import ParameterError

FULL = """\
apiVersion: serving.knative.dev/v1
kind: Service
metadata:
  name: orders
  labels: {cloud.googleapis.com/location: europe-west1, team: web}
  annotations:
    run.googleapis.com/ingress: internal
    run.googleapis.com/launch-stage: BETA
    run.googleapis.com/minScale: "1"
    note: ours
spec:
  template:
    metadata:
      labels: {team: web}
      annotations:
        autoscaling.knative.dev/maxScale: "7"
        run.googleapis.com/cpu-throttling: "false"
        run.googleapis.com/startup-cpu-boost: "true"
        run.googleapis.com/execution-environment: gen2
        run.googleapis.com/cloudsql-instances: acme:europe-west1:main
        run.googleapis.com/container-dependencies: '{app: [proxy]}'
        run.googleapis.com/network-interfaces: '[{"network": "n", "subnetwork": "s"}]'
        run.googleapis.com/vpc-access-egress: all-traffic
        run.googleapis.com/unheard-of: x
    spec:
      containerConcurrency: 20
      timeoutSeconds: 60
      serviceAccountName: a@b.iam.gserviceaccount.com
      nodeSelector: {run.googleapis.com/accelerator: nvidia-l4}
      containers:
        - name: app
          image: IMAGE
          ports: [{name: h2c, containerPort: 9000}]
          resources: {limits: {cpu: 1000m, memory: 512Mi}}
          env:
            - {name: A, value: true}
            - {name: S, valueFrom: {secretKeyRef: {name: key, key: latest}}}
          volumeMounts: [{name: files, mountPath: /secrets, readOnly: true}]
          livenessProbe: {httpGet: {path: /live}, successThreshold: 1}
        - {name: proxy, image: nginx}
      volumes:
        - {name: files, secret: {secretName: file, items: [{key: "3", path: f.json}]}}
        - {name: tmp, emptyDir: {medium: Memory, sizeLimit: 64Mi}}
        - name: data
          csi: {driver: gcsfuse.run.googleapis.com, volumeAttributes: {bucketName: b, mountOptions: 'a,b'}}
"""


def read(folder: Path, text: str, name: str = "service.yaml") -> list[Seen]:
    (folder / name).write_text(text)
    return read_files([folder / name])


def test_everything_of_it_is_read_as_v2_has_it(tmp_path: Path) -> None:
    (seen,) = read(tmp_path, FULL.replace("IMAGE", "gcr.io/acme/orders"))
    assert (seen.name, seen.region, seen.built, seen.public) == ("orders", "europe-west1", None, None)
    assert seen.decide == ("run.googleapis.com/unheard-of: x, which was not understood.",)
    template = seen.body["template"]
    app, proxy = template.pop("containers")
    assert seen.body == {
        "labels": {"team": "web"},
        "annotations": {"note": "ours"},
        "ingress": "INGRESS_TRAFFIC_INTERNAL_ONLY",
        "scaling": {"minInstanceCount": 1},
        "template": {
            "labels": {"team": "web"},
            "scaling": {"maxInstanceCount": 7},
            "executionEnvironment": "EXECUTION_ENVIRONMENT_GEN2",
            "vpcAccess": {"networkInterfaces": [{"network": "n", "subnetwork": "s"}], "egress": "ALL_TRAFFIC"},
            "maxInstanceRequestConcurrency": 20,
            "timeout": "60s",
            "serviceAccount": "a@b.iam.gserviceaccount.com",
            "nodeSelector": {"accelerator": "nvidia-l4"},
            "volumes": [
                {"name": "files", "secret": {"secret": "file", "items": [{"path": "f.json", "version": "3"}]}},
                {"name": "tmp", "emptyDir": {"medium": "MEMORY", "sizeLimit": "64Mi"}},
                {"name": "data", "gcs": {"bucket": "b", "mountOptions": ["a", "b"]}},
                {"name": "cloudsql", "cloudSqlInstance": {"instances": ["acme:europe-west1:main"]}},
            ],
        },
    }
    assert app == {
        "name": "app",
        "image": "gcr.io/acme/orders",
        "ports": [{"name": "h2c", "containerPort": 9000}],
        "resources": {"limits": {"cpu": "1000m", "memory": "512Mi"}, "cpuIdle": False, "startupCpuBoost": True},
        "env": [
            {"name": "A", "value": "true"},
            {"name": "S", "valueSource": {"secretKeyRef": {"secret": "key", "version": "latest"}}},
        ],
        "volumeMounts": [{"name": "files", "mountPath": "/secrets"}, {"name": "cloudsql", "mountPath": "/cloudsql"}],
        "livenessProbe": {"httpGet": {"path": "/live"}},
        "dependsOn": ["proxy"],
    }
    assert proxy == {"name": "proxy", "image": "nginx", "resources": {"cpuIdle": False}}


@pytest.mark.parametrize("blank", ["%IMAGE%", "${IMAGE}", "{{ .Values.image }}"])
def test_what_somebodys_own_tool_fills_in_is_to_be_decided(tmp_path: Path, blank: str) -> None:
    (seen,) = read(tmp_path, FULL.replace("IMAGE", blank))
    assert seen.built and seen.built.source == "."
    assert seen.built.decide[0].startswith("source: the folder that the image is built from; it was ${")


def test_the_body_of_v2_is_read_too(tmp_path: Path) -> None:
    name = "projects/acme-prod/locations/europe-west1/services/orders"
    (seen,) = read(tmp_path, f'{{"name": "{name}", "template": {{"containers": [{{"image": "x"}}]}}}}', "service.json")
    assert (seen.name, seen.region, seen.project) == ("orders", "europe-west1", "acme-prod")


@pytest.mark.parametrize("text", ["a: 1\n", "", "[]", "kind: Service\napiVersion: v1\n"])
def test_a_file_without_a_service_is_refused(tmp_path: Path, text: str) -> None:
    with pytest.raises(ParameterError, match="No Cloud Run service, job or worker pool is described in"):
        read(tmp_path, text)


PROXY = """\
apiVersion: serving.knative.dev/v1
kind: Service
metadata: {name: SERVICE_NAME, labels: {cloud.googleapis.com/location: REGION}}
spec:
  template:
    spec:
      dnsPolicy: Default
      containers:
        - {name: app, image: gcr.io/acme/app, ports: [{containerPort: 8080}], envFrom: [{secretRef: {name: all}}]}
      initContainers:
        - {name: proxy, image: gcr.io/acme/proxy, restartPolicy: Always, args: [--port=5432]}
        - {name: chown, image: busybox}
"""


def test_a_sidecar_in_the_words_of_kubernetes_is_one_that_the_main_container_waits_for(tmp_path: Path) -> None:
    (seen,) = read(tmp_path, PROXY)
    app, proxy = seen.body["template"]["containers"]
    assert (app["dependsOn"], proxy["name"], proxy["args"]) == (["proxy"], "proxy", ["--port=5432"])


def test_nothing_that_is_not_understood_is_passed_over_in_silence(tmp_path: Path) -> None:
    (seen,) = read(tmp_path, PROXY)
    assert [each.split(":")[0] for each in seen.decide] == [
        "dnsPolicy", "envFrom", "sidecars", "chown", "name",
    ]  # fmt: skip


def test_a_name_that_cloud_run_does_not_take_is_a_place_to_fill_in(tmp_path: Path) -> None:
    (seen,) = read(tmp_path, PROXY)
    assert (seen.name, seen.region) == ("", "")
    assert seen.decide[-1] == "name: what it is called in Cloud Run; it is SERVICE_NAME."


FAR = """\
apiVersion: serving.knative.dev/v1
kind: Service
metadata: {name: orders}
spec:
  template:
    metadata:
      annotations:
        run.googleapis.com/secrets: far:projects/42/secrets/theirs, open:projects/${P}/secrets/x
        run.googleapis.com/container-dependencies: "{app: ["
    spec:
      containers:
        - image: gcr.io/acme/orders
          env:
            - {name: A, valueFrom: {secretKeyRef: {name: far, key: "7"}}}
            - {name: B, valueFrom: {secretKeyRef: {name: ours, key: latest}}}
            - {name: C, valueFrom: {fieldRef: {fieldPath: metadata.name}}}
            - {name: D, value: }
          volumeMounts: [{name: files, mountPath: /secrets}]
      volumes:
        - {name: files, secret: {secretName: far, items: [{key: latest, path: f}]}}
"""


def test_a_secret_of_another_project_is_not_taken_for_one_of_its_own_that_is_called_so(tmp_path: Path) -> None:
    (seen,) = read(tmp_path, FAR)
    (container,) = seen.body["template"]["containers"]
    theirs = "projects/42/secrets/theirs"
    assert container["env"] == [
        {"name": "A", "valueSource": {"secretKeyRef": {"secret": theirs, "version": "7"}}},
        {"name": "B", "valueSource": {"secretKeyRef": {"secret": "ours", "version": "latest"}}},
        {"name": "D", "value": ""},
    ]
    assert seen.body["template"]["volumes"][0]["secret"]["secret"] == theirs


def test_what_cannot_be_made_sense_of_is_told_and_stops_nothing(tmp_path: Path) -> None:
    (seen,) = read(tmp_path, FAR)
    assert seen.decide == (
        "secrets: whose open is; it is projects/${P}/secrets/x.",
        "env[C]: it is from a fieldRef, which Cloud Run has not.",
        "run.googleapis.com/container-dependencies: {app: [, which was not understood.",
    )
