"""Jobs and worker pools in files: the same words of slipway.yaml, whichever tool's they were written in."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import yaml

from tasks.describe.adopt.adopt import adopt
from tasks.describe.adopt.files.found import read_files
from tasks.describe.adopt.seen import Kind
from tasks.describe.adopt.store import chosen
from tasks.describe.adopt.together import Target
from tasks.manifest.loading import judge

IMAGE = "europe-west1-docker.pkg.dev/acme-prod/shop/web:v1"
WEB = f"gcloud run deploy shop-web --image={IMAGE} --region=europe-west1 --project=acme-prod\n"
JOB_BY_GCLOUD = f"""
gcloud run jobs deploy shop-migrate --image={IMAGE} --region=europe-west1 --project=acme-prod \\
  --command=migrate --args=up --tasks=2 --parallelism=1 --max-retries=0 --task-timeout=15m --memory=1Gi \\
  --set-env-vars=LEVEL=info --set-secrets=KEY=key:3 --vpc-connector=main --execute-now --wait
gcloud beta run worker-pools deploy shop-mailer --image={IMAGE} --region=europe-west1 --project=acme-prod \\
  --instances=3 --set-env-vars=WORD=x --command=work
"""
ARGUMENTS = f"""
steps:
- name: gcr.io/google.com/cloudsdktool/cloud-sdk
  args: [gcloud, run, deploy, shop-web, --image={IMAGE}, --region=europe-west1, --project=acme-prod]
- args: [gcloud, run, jobs, deploy, shop-migrate, --image={IMAGE}, --region=europe-west1, --project=acme-prod,
         --command=migrate, --args=up, --tasks=2, --parallelism=1, --max-retries=0, --task-timeout=900s,
         --memory=1Gi, --set-env-vars=LEVEL=info, "--set-secrets=KEY=key:3", --vpc-connector=main]
- args: [beta, run, worker-pools, deploy, shop-mailer, --image={IMAGE}, --region=europe-west1, --project=acme-prod,
         --instances=3, --set-env-vars=WORD=x, --command=work]
"""
YAML = f"""
apiVersion: serving.knative.dev/v1
kind: Service
metadata: {{name: shop-web, labels: {{cloud.googleapis.com/location: europe-west1}}}}
spec:
  template: {{spec: {{containers: [{{image: {IMAGE}}}]}}}}
---
apiVersion: run.googleapis.com/v1
kind: Job
metadata: {{name: shop-migrate, labels: {{cloud.googleapis.com/location: europe-west1}}}}
spec:
  template:
    metadata: {{annotations: {{run.googleapis.com/vpc-access-connector: main}}}}
    spec:
      taskCount: 2
      parallelism: 1
      template:
        spec:
          maxRetries: 0
          timeoutSeconds: "900"
          containers:
          - image: {IMAGE}
            command: [migrate]
            args: [up]
            resources: {{limits: {{memory: 1Gi}}}}
            env:
            - {{name: LEVEL, value: info}}
            - {{name: KEY, valueFrom: {{secretKeyRef: {{name: key, key: "3"}}}}}}
---
apiVersion: run.googleapis.com/v1
kind: WorkerPool
metadata:
  name: shop-mailer
  labels: {{cloud.googleapis.com/location: europe-west1}}
  annotations: {{run.googleapis.com/scalingMode: manual, run.googleapis.com/manualInstanceCount: "3"}}
spec:
  template:
    spec:
      containers:
      - {{image: {IMAGE}, command: [work], env: [{{name: WORD, value: x}}]}}
"""
V2 = f"""
name: projects/acme-prod/locations/europe-west1/services/shop-web
template: {{containers: [{{image: {IMAGE}}}]}}
---
name: projects/acme-prod/locations/europe-west1/jobs/shop-migrate
template:
  taskCount: 2
  parallelism: 1
  template:
    maxRetries: 0
    timeout: 900s
    vpcAccess: {{connector: main}}
    containers:
    - image: {IMAGE}
      command: [migrate]
      args: [up]
      resources: {{limits: {{memory: 1Gi}}}}
      env:
      - {{name: LEVEL, value: info}}
      - {{name: KEY, valueSource: {{secretKeyRef: {{secret: key, version: "3"}}}}}}
---
name: projects/acme-prod/locations/europe-west1/workerPools/shop-mailer
scaling: {{manualInstanceCount: 3}}
template: {{containers: [{{image: {IMAGE}, command: [work], env: [{{name: WORD, value: x}}]}}]}}
"""
TERRAFORM = f"""
variable "image" {{ default = "{IMAGE}" }}
resource "google_cloud_run_v2_service" "web" {{
  name     = "shop-web"
  location = "europe-west1"
  project  = "acme-prod"
  template {{
    containers {{ image = var.image }}
  }}
}}
resource "google_cloud_run_v2_job" "migrate" {{
  name     = "shop-migrate"
  location = "europe-west1"
  project  = "acme-prod"
  template {{
    task_count  = 2
    parallelism = 1
    template {{
      max_retries = 0
      timeout     = "900s"
      vpc_access {{ connector = "main" }}
      containers {{
        image   = var.image
        command = ["migrate"]
        args    = ["up"]
        resources {{ limits = {{ memory = "1Gi" }} }}
        env {{
          name  = "LEVEL"
          value = "info"
        }}
        env {{
          name = "KEY"
          value_source {{
            secret_key_ref {{
              secret  = "key"
              version = "3"
            }}
          }}
        }}
      }}
    }}
  }}
}}
resource "google_cloud_run_v2_worker_pool" "mailer" {{
  name     = "shop-mailer"
  location = "europe-west1"
  project  = "acme-prod"
  scaling {{ manual_instance_count = 3 }}
  instance_splits {{
    type    = "INSTANCE_SPLIT_ALLOCATION_TYPE_LATEST"
    percent = 100
  }}
  template {{
    containers {{
      image   = var.image
      command = ["work"]
      env {{
        name  = "WORD"
        value = "x"
      }}
    }}
  }}
}}
"""
FILES = {"deploy.sh": WEB + JOB_BY_GCLOUD, "cloudbuild.yaml": ARGUMENTS, "run.yaml": YAML, "v2.yaml": V2,
         "main.tf": TERRAFORM}  # fmt: skip
MIGRATE = {
    "service": "web", "command": ["migrate"], "args": ["up"], "tasks": 2, "parallelism": 1, "max_retries": 0,
    "timeout": "15m", "memory": "1Gi", "env": {"LEVEL": "info"}, "secrets": {"KEY": "key:3"},
    "vpc": {"connector": "main"},
}  # fmt: skip


def adopted(folder: Path, name: str, text: str) -> dict[str, Any]:
    (folder / name).write_text(text)
    seen, notes = chosen(read_files([folder / name]), "shop", ())
    written = adopt("shop", Target("production", "acme-prod", ("europe-west1",)), seen, notes).text
    assert judge(written).manifest is not None
    said: dict[str, Any] = yaml.safe_load(written)
    return said


@pytest.mark.parametrize(("name", "text"), FILES.items(), ids=list(FILES))
def test_jobs_and_worker_pools_of_any_file_are_said(tmp_path: Path, name: str, text: str) -> None:
    said = adopted(tmp_path, name, text)
    assert list(said["services"]) == ["web"]
    assert said["jobs"] == {"migrate": MIGRATE}
    assert said["worker_pools"] == {
        "mailer": {"service": "web", "scaling": 3, "command": ["work"], "env": {"WORD": "x"}}
    }


@pytest.mark.parametrize(("flag", "hooks"), [(" --execute-now --wait", True), ("", False)])
def test_a_job_that_a_file_runs_as_it_deploys_it_runs_before_traffic_moves(
    tmp_path: Path, flag: str, hooks: bool
) -> None:
    text = f"gcloud run jobs deploy shop-migrate --image=$IMAGE{flag}\n{WEB.replace(IMAGE, '$IMAGE')}"
    said = adopted(tmp_path, "deploy.sh", text)
    assert said["jobs"] == {"migrate": {"service": "web"}}  # as both run the same image, whatever that is
    before = [{"name": "migrate", "job": {"name": "migrate"}}]
    assert said["environments"]["production"].get("before") == (before if hooks else None)


def test_one_whose_image_only_its_run_knows_is_built_from_a_folder_that_a_person_names(tmp_path: Path) -> None:
    said = adopted(
        tmp_path, "deploy.sh", f"{WEB}gcloud run jobs update shop-tidy --image=$IMAGE --region=europe-west1\n"
    )
    assert said["jobs"] == {"tidy": {"source": "."}}


def test_one_that_is_updated_or_made_is_one(tmp_path: Path) -> None:
    either = f"gcloud run jobs update shop-tidy --image={IMAGE} || gcloud run jobs create shop-tidy --image={IMAGE}\n"
    (tmp_path / "deploy.sh").write_text(either)
    seen, notes = chosen(read_files([tmp_path / "deploy.sh"]), "shop", ())
    assert [(each.kind, each.name) for each in seen] == [(Kind.JOB, "shop-tidy")]
    assert notes == ("shop-tidy is described more than once; this is the first.",)


def test_a_job_and_a_service_of_one_name_are_two(tmp_path: Path) -> None:
    (tmp_path / "deploy.sh").write_text(f"{WEB}gcloud run jobs deploy shop-web --image={IMAGE} --region=europe-west1\n")
    seen, notes = chosen(read_files([tmp_path / "deploy.sh"]), "shop", ())
    assert ([each.kind for each in seen], notes) == ([Kind.SERVICE, Kind.JOB], ())


def test_jobs_alone_are_an_app(tmp_path: Path) -> None:
    said = adopted(tmp_path, "deploy.sh", f"gcloud run jobs deploy shop-tidy --image={IMAGE} --region=europe-west1\n")
    assert "services" not in said
    assert said["jobs"] == {"tidy": {"image": IMAGE}}
