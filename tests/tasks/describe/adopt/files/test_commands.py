"""What scripts, workflows and build configurations deploy, as gcloud would send it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from tasks.describe.adopt.files.commands import executes
from tasks.describe.adopt.files.found import read_files
from tasks.describe.adopt.seen import Seen
from tasks.failures.errors import ParameterError

GCLOUD = {"cpuIdle": True, "startupCpuBoost": True}  # what gcloud adds for a new service


def read(folder: Path, name: str, text: str, **beside: str) -> list[Seen]:
    for other, content in beside.items():
        (folder / other.replace("_", ".")).write_text(content)
    (folder / name).write_text(text)
    return read_files([folder / name])


def folder(seen: Seen) -> str | None:
    """That it is built from."""
    return seen.built.source if seen.built else None


def main(seen: Seen) -> Any:
    return seen.body["template"]["containers"][0]


SCRIPT = """\
#!/bin/bash
PROJECT_ID="${GOOGLE_CLOUD_PROJECT:-acme-prod}"
export REGION=europe-west1   # where
SERVICE=${1:-"orders"}
# gcloud run deploy commented --image x
gcloud builds submit --tag gcr.io/$PROJECT_ID/$SERVICE
gcloud run deploy $SERVICE \\
  --image gcr.io/$PROJECT_ID/$SERVICE --project "$PROJECT_ID" --region=$REGION --platform managed \\
  --allow-unauthenticated --port 9000 --memory 1Gi --cpu=2 --no-cpu-throttling \\
  --min-instances 1 --max-instances=5 --concurrency 20 --timeout 5m \\
  --set-env-vars "DB=/cloudsql/$PROJECT_ID:$REGION:main,MODE=a b" \\
  --update-env-vars ^@^LIST=a,b@TOKEN=$(cat token) \\
  --set-secrets=KEY=key:latest,/secrets/file.json=file:3 \\
  --add-cloudsql-instances main --quiet > out.txt

echo "done"
"""


def test_a_script_is_read_with_its_variables(tmp_path: Path) -> None:
    (seen,) = read(tmp_path, "deploy.sh", SCRIPT)
    assert (seen.name, seen.region, seen.project, seen.public) == ("orders", "europe-west1", "acme-prod", True)
    assert seen.body == {
        "template": {
            "containers": [{
                "image": "gcr.io/acme-prod/orders",
                "ports": [{"containerPort": 9000}],
                "resources": {**GCLOUD, "cpuIdle": False, "limits": {"memory": "1Gi", "cpu": "2"}},
                "env": [
                    {"name": "DB", "value": "/cloudsql/acme-prod:europe-west1:main"}, {"name": "MODE", "value": "a b"},
                    {"name": "LIST", "value": "a,b"},
                    {"name": "KEY", "valueSource": {"secretKeyRef": {"secret": "key", "version": "latest"}}},
                ],
                "volumeMounts": [
                    {"name": "secret-1", "mountPath": "/secrets"}, {"name": "cloudsql", "mountPath": "/cloudsql"},
                ],
            }],
            "scaling": {"minInstanceCount": 1, "maxInstanceCount": 5},
            "maxInstanceRequestConcurrency": 20,
            "timeout": "300s",
            "volumes": [
                {"name": "secret-1", "secret": {"secret": "file", "items": [{"path": "file.json", "version": "3"}]}},
                {"name": "cloudsql", "cloudSqlInstance": {"instances": ["acme-prod:europe-west1:main"]}},
            ],
        }
    }  # fmt: skip
    assert [each for each in seen.decide if "TOKEN" in each] == ["env[TOKEN]: $(cat, which only its run knows."]


ARRAY = """\
args=(
  --region europe-west1   # here
  --image "$IMAGE"
)
if true; then args+=(--memory=2Gi); fi
args+=(
  --ingress internal
)
gcloud beta run deploy shop "${args[@]}" && echo ok
"""


def test_arguments_may_be_collected_before(tmp_path: Path) -> None:
    (seen,) = read(tmp_path, "deploy.sh", ARRAY)
    assert (seen.name, seen.region, folder(seen)) == ("shop", "europe-west1", ".")
    assert seen.body["ingress"] == "INGRESS_TRAFFIC_INTERNAL_ONLY"
    assert "image" not in main(seen)
    assert seen.built and seen.built.decide[0].startswith("source: ")


FLAGS: list[tuple[str, dict[str, Any], dict[str, Any], dict[str, Any]]] = [
    ("--min=1 --max=3", {"scaling": {"minInstanceCount": 1, "maxInstanceCount": 3}}, {}, {}),
    ("--scaling=4", {"scaling": {"scalingMode": "MANUAL", "manualInstanceCount": 4}}, {}, {}),
    ("--scaling=auto", {}, {}, {}),
    ("--no-invoker-iam-check --iap", {"invokerIamDisabled": True, "iapEnabled": True}, {}, {}),
    ("--no-default-url --description=x", {"defaultUriDisabled": True, "description": "x"}, {}, {}),
    ("--binary-authorization=default", {"binaryAuthorization": {"useDefault": True}}, {}, {}),
    ("--add-custom-audiences=a,b", {"customAudiences": ["a", "b"]}, {}, {}),
    ("--labels=a=b", {"labels": {"a": "b"}}, {"labels": {"a": "b"}}, {}),
    ("--timeout=300", {}, {"timeout": "300s"}, {}),
    ("--concurrency=default", {}, {}, {}),
    ("--service-account=a@b.iam.gserviceaccount.com", {}, {"serviceAccount": "a@b.iam.gserviceaccount.com"}, {}),
    ("--execution-environment=gen2", {}, {"executionEnvironment": "EXECUTION_ENVIRONMENT_GEN2"}, {}),
    ("--session-affinity", {}, {"sessionAffinity": True}, {}),
    ("--vpc-connector=c --vpc-egress=all", {}, {"vpcAccess": {"connector": "c", "egress": "ALL_TRAFFIC"}}, {}),
    (
        "--network=n --subnet=s --network-tags=a,b",
        {},
        {"vpcAccess": {"networkInterfaces": [{"network": "n", "subnetwork": "s", "tags": ["a", "b"]}]}},
        {},
    ),
    ("--key=k", {}, {"encryptionKey": "k"}, {}),
    ("--gpu=1 --gpu-type=nvidia-l4 --no-gpu-zonal-redundancy", {},
     {"nodeSelector": {"accelerator": "nvidia-l4"}, "gpuZonalRedundancyDisabled": True},
     {"resources": {"cpuIdle": False, "startupCpuBoost": True, "limits": {"nvidia.com/gpu": "1"}}}),
    ("--no-cpu-boost --cpu-throttling", {}, {}, {"resources": {"cpuIdle": True, "startupCpuBoost": False}}),
    ("--use-http2", {}, {}, {"ports": [{"name": "h2c"}]}),
    ("--command=a,b --args='^;^-x;y,z'", {}, {}, {"command": ["a", "b"], "args": ["-x", "y,z"]}),
    ("--startup-probe=httpGet.path=/up,httpGet.port=81,periodSeconds=5", {}, {},
     {"startupProbe": {"httpGet": {"path": "/up", "port": 81}, "periodSeconds": 5}}),
    ("--liveness-probe=grpc.service=x", {}, {}, {"livenessProbe": {"grpc": {"service": "x"}}}),
    ("--add-volume=name=t,type=in-memory,size-limit=64Mi --add-volume-mount=volume=t,mount-path=/t", {},
     {"volumes": [{"name": "t", "emptyDir": {"medium": "MEMORY", "sizeLimit": "64Mi"}}]},
     {"volumeMounts": [{"name": "t", "mountPath": "/t"}]}),
    ("--add-volume=name=d,type=cloud-storage,bucket=b,readonly=true", {},
     {"volumes": [{"name": "d", "gcs": {"bucket": "b", "readOnly": True}}]}, {}),
    ("--add-volume=name=n,type=nfs,location=10.0.0.2:/x", {},
     {"volumes": [{"name": "n", "nfs": {"server": "10.0.0.2", "path": "/x"}}]}, {}),
]  # fmt: skip


@pytest.mark.parametrize(("flags", "service", "template", "container"), FLAGS, ids=[case[0][:40] for case in FLAGS])
def test_each_flag_is_understood(
    tmp_path: Path, flags: str, service: dict[str, Any], template: dict[str, Any], container: dict[str, Any]
) -> None:
    (seen,) = read(tmp_path, "deploy.sh", f"gcloud run deploy shop --image=x {flags}\n")
    body = dict(seen.body)
    there = body.pop("template")
    assert body == service
    assert there == {**template, "containers": [{"image": "x", "resources": GCLOUD, **container}]}
    assert seen.decide == ()


def test_containers_beside_the_first_are_sidecars(tmp_path: Path) -> None:
    words = "--container app --image=a --port=80 --depends-on=proxy --container proxy --image=p --memory=1Gi"
    (seen,) = read(tmp_path, "deploy.sh", f"gcloud run deploy shop {words}\n")
    app, proxy = seen.body["template"]["containers"]
    assert (app["name"], app["image"], app["dependsOn"], app["ports"]) == (
        "app",
        "a",
        ["proxy"],
        [{"containerPort": 80}],
    )
    assert proxy == {"name": "proxy", "image": "p", "resources": {"cpuIdle": True, "limits": {"memory": "1Gi"}}}


def test_a_flag_that_is_not_known_is_told(tmp_path: Path) -> None:
    (seen,) = read(tmp_path, "deploy.sh", "gcloud run deploy shop --image=x --mesh=m --ingress=some\n")
    assert seen.decide[0] == "--mesh m, which was not understood."
    assert seen.decide[1].startswith("--ingress=some: ")


WORKFLOW = """\
env:
  REGION: europe-west1
jobs:
  deploy:
    env: {SERVICE: shop}
    steps:
      - run: |
          gcloud run deploy ${{ env.SERVICE }}-api --source backend --region "$REGION" \\
            --env-vars-file=env.yaml
      - uses: google-github-actions/deploy-cloudrun@v2
        with:
          service: ${{ env.SERVICE }}
          region: ${{ env.REGION }}
          image: ${{ steps.build.outputs.image }}
          env_vars: |-
            A=1
            B=x,y
          secrets: KEY=key:latest
          flags: '--memory=1Gi --no-cpu-throttling'
"""


def test_a_workflow_is_read_with_its_variables_and_the_action(tmp_path: Path) -> None:
    api, shop = read(tmp_path, "deploy.yml", WORKFLOW, env_yaml="MODE: true\nN: 5\n")
    assert (api.name, api.region, folder(api)) == ("shop-api", "europe-west1", "backend")
    assert main(api)["env"] == [{"name": "MODE", "value": "true"}, {"name": "N", "value": "5"}]
    assert (shop.name, shop.region, folder(shop)) == ("shop", "europe-west1", ".")
    values = {each["name"]: each.get("value") for each in main(shop)["env"]}
    assert values == {"A": "1", "B": "x,y", "KEY": None}
    assert main(shop)["resources"] == {**GCLOUD, "cpuIdle": False, "limits": {"memory": "1Gi"}}


BUILD = """\
substitutions: {_REGION: europe-west1, _SERVICE: shop}
steps:
  - name: gcr.io/cloud-builders/docker
    args: [build, -t, 'gcr.io/$PROJECT_ID/shop', .]
  - name: gcr.io/google.com/cloudsdktool/cloud-sdk
    entrypoint: gcloud
    args: [run, deploy, '${_SERVICE}', '--image=gcr.io/$PROJECT_ID/shop:$COMMIT_SHA', --region, '${_REGION}', --no-allow-unauthenticated]
"""  # noqa: E501


def test_a_configuration_of_cloud_build_is_read(tmp_path: Path) -> None:
    (seen,) = read(tmp_path, "cloudbuild.yaml", BUILD)
    assert (seen.name, seen.region, seen.public, folder(seen)) == ("shop", "europe-west1", False, ".")


@pytest.mark.parametrize("name", ["deploy.sh", "deploy.yml", "Makefile"])
def test_a_service_that_only_its_run_names_is_one_all_the_same(tmp_path: Path, name: str) -> None:
    text = "gcloud run deploy $NAME --image=x --memory=$MEMORY"
    (seen,) = read(tmp_path, name, f"run: {text}\n" if name.endswith("yml") else f"{text}\n")
    assert seen.name == ""
    assert "name: what it is called in Cloud Run; it was $NAME." in seen.decide
    assert "resources.limits.memory: $MEMORY, which only its run knows." in seen.decide


def test_a_command_that_another_command_is_given_ends_with_its_quote(tmp_path: Path) -> None:
    text = (
        'R=us-central1\nretry 3 "gcloud run deploy shop --image i \\\n --set-env-vars "A=${B}" --region "${R}""\necho\n'
    )
    (seen,) = read(tmp_path, "deploy.sh", text)
    assert (seen.name, seen.region) == ("shop", "us-central1")
    assert any(said.startswith("env[A]: ${B}") for said in seen.decide)


def test_a_folder_without_terraform_tells_which_files_below_it_speak_of_cloud_run(tmp_path: Path) -> None:
    texts = {
        "infra/run.tf": 'resource "google_cloud_run_v2_service" "a" {}', "infra/job.tf": "", "ci/deploy.sh": SCRIPT,
        "node_modules/x/deploy.sh": SCRIPT, "README.md": SCRIPT, "cloudbuild.yaml": "args:\n- run\n- deploy\n",
    }  # fmt: skip
    for name, text in texts.items():
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text(text)
    with pytest.raises(ParameterError) as raised:
        read_files([tmp_path])
    named = [f"{tmp_path}/{name}" for name in ("cloudbuild.yaml", "ci/deploy.sh", "infra")]
    assert f"these speak of Cloud Run: {', '.join(named)}." in str(raised.value)


@pytest.mark.parametrize(
    "text",
    [
        "script: gcloud run jobs execute migrate --wait",
        "gcloud beta run jobs execute --wait --region=europe-west1 \\\n  migrate",
        'args: ["run", "jobs", "execute", "migrate", "--wait"]',
        "args:\n  - run\n  - jobs\n  - execute\n  - migrate\n",
        "retry 'gcloud run jobs execute migrate'\n# gcloud run jobs execute other",
    ],
    ids=["line", "flags first", "words", "lines", "in quotes"],
)
def test_a_job_that_a_file_executes_is_told_from_one_that_it_only_deploys(text: str) -> None:
    assert executes(text) == {"migrate"}
    assert executes("gcloud run jobs deploy migrate\ngcloud run jobs execute $JOB") == set()


def test_a_file_that_describes_nothing_is_told_with_those_of_the_folder_that_do(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As a Cloud Build file does that leaves the deployment to a script."""
    (tmp_path / "cloudbuild.yaml").write_text("steps: [{name: bash, args: [ci/deploy.sh]}]\n")
    (tmp_path / "ci").mkdir()
    (tmp_path / "ci/deploy.sh").write_text(SCRIPT)
    monkeypatch.chdir(tmp_path)
    with pytest.raises(ParameterError, match=r"described in cloudbuild\.yaml\.") as raised:
        read_files([Path("cloudbuild.yaml")])
    assert "these speak of Cloud Run: ci/deploy.sh." in str(raised.value)


@pytest.mark.parametrize("gcloud", ["$GCLOUD_BIN", '"$GCLOUD"', "${GCLOUD} beta", "$(gcloud)", '"${gcloud_bin}" alpha'])
def test_gcloud_may_be_called_by_a_variable(tmp_path: Path, gcloud: str) -> None:
    (seen,) = read(tmp_path, "deploy.sh", f"{gcloud} run deploy shop --image=x --memory=1Gi\n")
    assert (seen.name, main(seen)["resources"]["limits"]) == ("shop", {"memory": "1Gi"})


def test_a_flag_that_stands_alone_takes_no_word_that_follows(tmp_path: Path) -> None:
    flags = "--clear-vpc-connector --remove-env-vars=A --no-automatic-updates shop --image=x"
    (seen,) = read(tmp_path, "deploy.sh", f"gcloud run deploy {flags}\n")
    assert (seen.name, seen.decide) == ("shop", ("--no-automatic-updates, which was not understood.",))


def test_databases_that_are_named_one_by_one_are_seen_at_one_place(tmp_path: Path) -> None:
    flags = "--add-cloudsql-instances=p:r:a --add-cloudsql-instances=p:r:b"
    (seen,) = read(tmp_path, "deploy.sh", f"gcloud run deploy shop --image=x {flags}\n")
    assert main(seen)["volumeMounts"] == [{"name": "cloudsql", "mountPath": "/cloudsql"}]
    (volume,) = seen.body["template"]["volumes"]
    assert volume["cloudSqlInstance"]["instances"] == ["p:r:a", "p:r:b"]
