"""Services in Terraform's files, as far as the files tell."""

from __future__ import annotations

from pathlib import Path

import pytest

from tasks.describe.adopt.files.found import read_files
from tasks.describe.adopt.seen import Seen
from tasks.failures.errors import ParameterError

V2 = """
variable "region" { default = "europe-west1" }
variable "memory" {
  type    = string
  default = "1Gi"
}
variable "image" {}
locals { name = "orders-${var.env}" }
variable "env" { default = "prod" }
resource "google_secret_manager_secret" "key" { secret_id = "orders-key" }
data "google_service_account" "runner" {
  account_id = "runner"
  project    = "acme-prod"
}
resource "google_cloud_run_v2_service" "orders" {
  name                = local.name
  location            = var.region
  project             = "acme-prod"
  deletion_protection = false
  ingress             = "INGRESS_TRAFFIC_ALL"
  labels              = { team = "web" }
  template {
    service_account = data.google_service_account.runner.email
    timeout         = "60s"
    scaling { max_instance_count = 3 }
    vpc_access {
      egress = "ALL_TRAFFIC"
      network_interfaces {
        network    = "n"
        subnetwork = "s"
        tags       = ["a"]
      }
    }
    volumes {
      name = "sql"
      cloud_sql_instance { instances = ["acme-prod:europe-west1:main"] }
    }
    containers {
      image = "${var.region}-docker.pkg.dev/acme-prod/shop/orders:v1"
      ports { container_port = 9000 }
      resources {
        limits = { cpu = "1", memory = var.memory }
      }
      env {
        name  = "TEXT"
        value = "a \\"b\\" ${var.region}"
      }
      env {
        name  = "OPEN"
        value = google_redis_instance.cache.host
      }
      env {
        name = "KEY"
        value_source {
          secret_key_ref {
            secret  = google_secret_manager_secret.key.secret_id
            version = "latest"
          }
        }
      }
      dynamic "env" {
        for_each = { "MODE" = "x", "FLAG" = true }
        content {
          name  = env.key
          value = env.value
        }
      }
      volume_mounts {
        name       = "sql"
        mount_path = "/cloudsql"
      }
      startup_probe {
        period_seconds = 5
        http_get { path = "/up" }
      }
    }
  }
  lifecycle { ignore_changes = [template[0].containers[0].image] }
}
resource "google_cloud_run_v2_service_iam_member" "all" {
  name   = google_cloud_run_v2_service.orders.name
  role   = "roles/run.invoker"
  member = "allUsers"
}
"""


CALLERS = """
resource "google_service_account" "front" {
  account_id = "frontend"
  project    = "acme-prod"
}
resource "google_cloud_run_v2_service" "api" {
  name     = "api"
  location = "europe-west1"
  template {
    containers { image = "gcr.io/acme-prod/api" }
  }
}
resource "google_cloud_run_v2_service_iam_member" "front" {
  name   = google_cloud_run_v2_service.api.name
  role   = "roles/run.invoker"
  member = "serviceAccount:${google_service_account.front.email}"
}
resource "google_cloud_run_v2_service_iam_binding" "others" {
  name    = "api"
  role    = "roles/run.invoker"
  members = ["group:ops@acme.com", "user:${var.who}"]
}
resource "google_cloud_run_v2_service_iam_member" "viewer" {
  name   = "api"
  role   = "roles/run.viewer"
  member = "user:viewer@acme.com"
}
"""


def test_who_may_invoke_a_service_is_read_and_what_only_a_run_knows_is_told(tmp_path: Path) -> None:
    (seen,) = read(tmp_path, CALLERS)
    front = "serviceAccount:frontend@acme-prod.iam.gserviceaccount.com"
    assert (seen.public, seen.invokers) == (False, ("group:ops@acme.com", front))
    assert seen.decide == ("invokers: user:${var.who}, which only its run knows.",)


def read(folder: Path, text: str) -> list[Seen]:
    (folder / "main.tf").write_text(text)
    return read_files([folder])


def test_a_service_is_read_with_the_variables_of_its_folder(tmp_path: Path) -> None:
    (seen,) = read(tmp_path, V2)
    assert (seen.name, seen.region, seen.project, seen.public) == ("orders-prod", "europe-west1", "acme-prod", True)
    assert seen.notes == ()
    assert seen.decide == ("env[OPEN]: ${google_redis_instance.cache.host}, which only its run knows.",)
    assert seen.body == {
        "ingress": "INGRESS_TRAFFIC_ALL",
        "labels": {"team": "web"},
        "template": {
            "serviceAccount": "runner@acme-prod.iam.gserviceaccount.com",
            "timeout": "60s",
            "scaling": {"maxInstanceCount": 3},
            "vpcAccess": {
                "egress": "ALL_TRAFFIC", "networkInterfaces": [{"network": "n", "subnetwork": "s", "tags": ["a"]}],
            },
            "volumes": [{"name": "sql", "cloudSqlInstance": {"instances": ["acme-prod:europe-west1:main"]}}],
            "containers": [{
                "image": "europe-west1-docker.pkg.dev/acme-prod/shop/orders:v1",
                "ports": [{"containerPort": 9000}],
                "resources": {"limits": {"cpu": "1", "memory": "1Gi"}, "cpuIdle": False},
                "env": [
                    {"name": "TEXT", "value": 'a "b" europe-west1'},
                    {"name": "KEY", "valueSource": {"secretKeyRef": {"secret": "orders-key", "version": "latest"}}},
                    {"name": "MODE", "value": "x"},
                    {"name": "FLAG", "value": "true"},
                ],
                "volumeMounts": [{"name": "sql", "mountPath": "/cloudsql"}],
                "startupProbe": {"periodSeconds": 5, "httpGet": {"path": "/up"}},
            }],
        },
    }  # fmt: skip


V1 = """
resource "google_cloud_run_service" "web" {
  name     = "web"
  location = "europe-west1"
  template {
    metadata {
      annotations = {
        "autoscaling.knative.dev/maxScale"      = "5"
        "run.googleapis.com/cloudsql-instances" = google_sql_database_instance.main.connection_name
      }
    }
    spec {
      service_account_name  = "runner@acme-prod.iam.gserviceaccount.com"
      container_concurrency = 10
      containers {
        image = var.image
        env {
          name  = "A"
          value = "1"
        }
        env {
          name = "KEY"
          value_from {
            secret_key_ref {
              name = "key"
              key  = "latest"
            }
          }
        }
        resources { limits = { memory = "1Gi" } }
      }
    }
  }
}
"""


def test_a_service_of_the_older_resource_is_read(tmp_path: Path) -> None:
    (seen,) = read(tmp_path, V1)
    assert (seen.name, seen.region, seen.built and seen.built.source) == ("web", "europe-west1", ".")
    template = seen.body["template"]
    assert template["maxInstanceRequestConcurrency"] == 10
    assert template["scaling"] == {"maxInstanceCount": 5}
    assert template["containers"][0]["env"] == [
        {"name": "A", "value": "1"},
        {"name": "KEY", "valueSource": {"secretKeyRef": {"secret": "key", "version": "latest"}}},
    ]
    assert template["containers"][0]["resources"] == {"limits": {"memory": "1Gi"}, "cpuIdle": True}
    assert any("volumes[cloudsql]" in each for each in seen.decide)
    assert seen.notes == ("Terraform made it: have it ignore the image, the revision and the traffic from now on.",)


def test_what_is_no_terraform_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ParameterError, match=r"main\.tf cannot be read as Terraform"):
        read(tmp_path, 'resource "x" {{{')
    with pytest.raises(ParameterError, match="No Cloud Run service, job or worker pool is described"):
        read(tmp_path, 'resource "google_storage_bucket" "b" { name = "b" }')


OPEN = """
variable "project_id" {}
data "google_project" "this" {}
resource "google_service_account" "runner" { account_id = "runner" }
resource "google_sql_database_instance" "main" {
  name   = "main"
  region = "europe-west1"
}
resource "google_cloud_run_v2_service" "web" {
  name     = "web"
  project  = var.project_id
  location = "europe-west1"
  template {
    service_account = google_service_account.runner.email
    containers {
      image = "gcr.io/${data.google_project.this.project_id}/web"
      volume_mounts {
        name       = "sql"
        mount_path = "/cloudsql"
      }
    }
    volumes {
      name = "sql"
      cloud_sql_instance { instances = [google_sql_database_instance.main.connection_name] }
    }
  }
}
"""


@pytest.mark.parametrize(("project", "is_open"), [("acme-prod", False), ("", True)])
def test_the_project_that_it_is_read_for_fills_in_what_only_that_was_open(
    tmp_path: Path, project: str, is_open: bool
) -> None:
    (tmp_path / "main.tf").write_text(OPEN)
    (seen,) = read_files([tmp_path], project)
    assert (seen.project, bool(seen.decide), bool(seen.built)) == (project, is_open, is_open)
    if not is_open:
        template = seen.body["template"]
        assert template["containers"][0]["image"] == "gcr.io/acme-prod/web"
        assert template["serviceAccount"] == "runner@acme-prod.iam.gserviceaccount.com"
        assert template["volumes"][0]["cloudSqlInstance"]["instances"] == ["acme-prod:europe-west1:main"]
