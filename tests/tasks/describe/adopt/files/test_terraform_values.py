"""What Terraform's files leave to values beside them, to other resources and to blocks that are made of maps."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from tasks.describe.adopt.files.found import read_files
from tasks.describe.adopt.seen import Seen

SERVICE = """
variable "project_id" {}
variable "memory" { default = "512Mi" }
variable "limit" { default = null }
variable "token" {
  type      = string
  sensitive = true
}
resource "google_cloud_run_v2_service" "web" {
  name     = "web"
  location = "europe-west1"
  project  = var.project_id
  template {
    max_instance_request_concurrency = var.limit
    containers {
      image = "gcr.io/acme/web"
      resources { limits = { memory = var.memory } }
      env {
        name  = "TOKEN"
        value = var.token
      }
    }
  }
}
"""


def read(folder: Path, **texts: str) -> Seen:
    for name, text in texts.items():
        (folder / name.replace("__", ".")).write_text(text)
    (seen,) = read_files([folder])
    return seen


def container(seen: Seen) -> Any:
    return seen.body["template"]["containers"][0]


def test_values_that_terraform_takes_from_beside_its_files_are_those_of_the_service(tmp_path: Path) -> None:
    values = 'project_id = "acme-prod"\nmemory = "1Gi"\ntoken = "not-for-a-repository"\n'
    seen = read(tmp_path, main__tf=SERVICE, terraform__tfvars=values)
    assert (seen.project, container(seen)["resources"]["limits"]) == ("acme-prod", {"memory": "1Gi"})
    assert "maxInstanceRequestConcurrency" not in seen.body["template"]
    assert seen.decide == ("env[TOKEN]: ${var.token}, which only its run knows.",)
    (tmp_path / "b.auto.tfvars").write_text('memory = "2Gi"\n')
    assert container(read(tmp_path))["resources"]["limits"] == {"memory": "2Gi"}


def test_values_that_are_named_win_over_those_beside(tmp_path: Path) -> None:
    (tmp_path / "terraform.tfvars").write_text('memory = "1Gi"\n')
    (tmp_path / "main.tf").write_text(SERVICE)
    (tmp_path / "production").mkdir()
    named = tmp_path / "production" / "production.tfvars"
    named.write_text('memory = "4Gi"\n')
    (seen,) = read_files([tmp_path, named])
    assert container(seen)["resources"]["limits"] == {"memory": "4Gi"}


SECRETS = """
resource "google_secret_manager_secret" "of" {
  for_each  = toset(["api-key", "salt"])
  secret_id = "web-${each.value}"
}
resource "google_secret_manager_secret" "one" { secret_id = "one" }
resource "google_secret_manager_secret_version" "one" {
  secret      = google_secret_manager_secret.one.id
  secret_data = "x"
}
data "google_secret_manager_secret_version" "two" {
  secret  = "two"
  version = "4"
}
resource "google_cloud_run_v2_service" "web" {
  name     = "web"
  location = "europe-west1"
  template {
    containers {
      image = "gcr.io/acme/web"
      env {
        name = "A"
        value_source {
          secret_key_ref {
            secret  = google_secret_manager_secret.of["api-key"].secret_id
            version = "latest"
          }
        }
      }
      env {
        name = "B"
        value_source {
          secret_key_ref {
            secret  = google_secret_manager_secret_version.one.secret
            version = google_secret_manager_secret_version.one.version
          }
        }
      }
      env {
        name = "C"
        value_source {
          secret_key_ref {
            secret  = data.google_secret_manager_secret_version.two.secret
            version = data.google_secret_manager_secret_version.two.version
          }
        }
      }
    }
  }
}
"""


def test_secrets_that_other_blocks_name_are_known_by_their_keys_and_versions(tmp_path: Path) -> None:
    seen = read(tmp_path, main__tf=SECRETS)
    found = {each["name"]: each["valueSource"]["secretKeyRef"] for each in container(seen)["env"]}
    assert found == {
        "A": {"secret": "web-api-key", "version": "latest"},
        "B": {"secret": "one", "version": "latest"},
        "C": {"secret": "two", "version": "4"},
    }
    assert seen.decide == ()


DYNAMIC = """
variable "secrets" { default = { KEY = { secret = "key", version = "3" } } }
variable "more" { default = {} }
resource "google_cloud_run_v2_service" "web" {
  name     = "web"
  location = "europe-west1"
  template {
    containers {
      image = "gcr.io/acme/web"
      dynamic "env" {
        for_each = var.secrets
        iterator = each_secret
        content {
          name = each_secret.key
          value_source {
            secret_key_ref {
              secret  = each_secret.value.secret
              version = each_secret.value["version"]
            }
          }
        }
      }
      dynamic "env" {
        for_each = [{ name = "A", value = 1 }, { name = "B", value = true }]
        content {
          name  = env.value.name
          value = "x${env.value.value}"
        }
      }
      dynamic "env" {
        for_each = var.more
        content {
          name  = env.key
          value = env.value
        }
      }
    }
  }
}
"""


def test_blocks_that_are_made_of_maps_and_lists_are_read(tmp_path: Path) -> None:
    seen = read(tmp_path, main__tf=DYNAMIC)
    assert container(seen)["env"] == [
        {"name": "KEY", "valueSource": {"secretKeyRef": {"secret": "key", "version": "3"}}},
        {"name": "A", "value": "x1"},
        {"name": "B", "value": "xtrue"},
    ]
    assert seen.decide == ("env: a dynamic block, which only Terraform knows.",)


SIDECAR = """
resource "google_cloud_run_service" "web" {
  name     = "web"
  location = "europe-west1"
  template {
    metadata {
      annotations = { "run.googleapis.com/container-dependencies" = DEPENDENCIES }
    }
    spec {
      containers {
        name  = "hello-1"
        image = "gcr.io/acme/web"
        ports { container_port = 8080 }
      }
      containers {
        name  = "hello-2"
        image = "gcr.io/acme/proxy"
      }
    }
  }
}
"""


def test_what_a_container_waits_for_is_read_as_google_s_example_writes_it(tmp_path: Path) -> None:
    said = SIDECAR.replace("DEPENDENCIES", 'jsonencode({hello-1 = ["hello-2"]})')
    assert container(read(tmp_path, main__tf=said))["dependsOn"] == ["hello-2"]


def test_what_a_container_waits_for_that_only_a_run_knows_is_told(tmp_path: Path) -> None:
    seen = read(tmp_path, main__tf=SIDECAR.replace("DEPENDENCIES", "jsonencode({for k, v in var.x : k => v})"))
    assert "dependsOn" not in container(seen)
    assert any("container-dependencies" in each for each in seen.decide)


MODULE = """
variable "name" {}
variable "memory" { default = "512Mi" }
variable "env" { default = {} }
variable "redis" { default = "localhost" }
resource "google_cloud_run_v2_service" "this" {
  name     = var.name
  location = "europe-west1"
  template {
    containers {
      image = "gcr.io/acme/${var.name}"
      resources { limits = { memory = var.memory } }
      env {
        name  = "REDIS"
        value = var.redis
      }
      dynamic "env" {
        for_each = var.env
        content {
          name  = env.key
          value = env.value
        }
      }
    }
  }
}
resource "google_cloud_run_v2_service_iam_member" "all" {
  name   = google_cloud_run_v2_service.this.name
  role   = "roles/run.invoker"
  member = "allUsers"
}
"""
ROOT = """
variable "redis" { default = "not the module's" }
locals { services = { api = { memory = "1Gi", env = { A = "1" } }, web = { memory = "2Gi", env = { B = "2" } } } }
module "run" {
  for_each = local.services
  source   = "../modules/run"
  name     = "shop-${each.key}"
  memory   = each.value.memory
  env      = each.value["env"]
  redis    = google_redis_instance.cache.host
}
module "elsewhere" { source = "acme/run/google" }
"""


def test_a_module_of_the_repository_is_read_with_what_it_is_given_for_each(tmp_path: Path) -> None:
    for folder, text in (("modules/run", MODULE), ("production", ROOT)):
        (tmp_path / folder).mkdir(parents=True)
        (tmp_path / folder / "main.tf").write_text(text)
    found = read_files([tmp_path / "production"])
    assert {each.name: container(each)["resources"]["limits"]["memory"] for each in found} == {
        "shop-api": "1Gi", "shop-web": "2Gi",
    }  # fmt: skip
    assert [container(each)["env"] for each in found] == [[{"name": "A", "value": "1"}], [{"name": "B", "value": "2"}]]
    assert all(each.public for each in found)
    assert {each.decide for each in found} == {("env[REDIS]: ${module.run.redis}, which only its run knows.",)}


def test_a_service_that_is_there_for_each_of_a_set_is_read_for_each(tmp_path: Path) -> None:
    (tmp_path / "main.tf").write_text("""
resource "google_cloud_run_v2_service" "of" {
  for_each = toset(["europe-west1", "us-central1"])
  name     = "web"
  location = each.key
  template {
    containers { image = "gcr.io/acme/web" }
  }
}
""")
    assert [(each.name, each.region) for each in read_files([tmp_path])] == [
        ("web", "europe-west1"), ("web", "us-central1"),
    ]  # fmt: skip
