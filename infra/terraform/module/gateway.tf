# An API Gateway, and the key of its clients.
#
# What is followed by another of a new name is known by that name: a config, the key, and the version of the secret that
# holds it. So the new one can be adopted, where Terraform died before it could tell of it, beside the one of before.

resource "google_api_gateway_api" "api" {
  provider   = google-beta
  count      = var.gateway == null ? 0 : 1
  api_id     = var.gateway.api_id
  labels     = var.labels
  depends_on = [google_project_service.service]
}

resource "google_api_gateway_api_config" "config" {
  provider      = google-beta
  for_each      = toset(var.gateway[*].config_id)
  api           = google_api_gateway_api.api[0].api_id
  api_config_id = each.key
  labels        = var.labels

  openapi_documents {
    document {
      path     = "openapi.yaml"
      contents = var.gateway.openapi_base64
    }
  }

  gateway_config {
    backend_config {
      google_service_account = var.gateway.service_account
    }
  }

  lifecycle {
    create_before_destroy = true             # the gateway moves to the new one before the old one goes
    ignore_changes        = [gateway_config] # never read back: an adopted config would be replaced
  }

  depends_on = [google_service_account.account]
}

resource "google_api_gateway_gateway" "gateway" {
  provider   = google-beta
  count      = var.gateway == null ? 0 : 1
  gateway_id = var.gateway.gateway_id
  region     = var.gateway.region
  api_config = google_api_gateway_api_config.config[var.gateway.config_id].id
  labels     = var.labels
}

# The API as a service of the project: before it is enabled, the gateway refuses every key.
resource "google_project_service" "managed" {
  provider           = google-beta
  count              = var.gateway == null ? 0 : 1
  service            = google_api_gateway_api.api[0].managed_service
  disable_on_destroy = false                                  # it goes with the API
  depends_on         = [google_api_gateway_api_config.config] # there is no such service before its first config
}

resource "google_apikeys_key" "key" {
  provider     = google-beta
  for_each     = toset(var.key[*].key_id)
  name         = each.key
  display_name = var.key.display_name

  restrictions {
    api_targets {
      service = google_api_gateway_api.api[0].managed_service
    }
  }

  lifecycle {
    create_before_destroy = true
  }

  depends_on = [google_project_service.managed]
}

resource "google_secret_manager_secret" "key" {
  provider  = google-beta
  count     = var.key == null ? 0 : 1
  secret_id = var.key.secret_id
  labels    = var.labels

  replication {
    auto {}
  }

  depends_on = [google_project_service.service]
}

resource "google_secret_manager_secret_version" "key" {
  provider               = google-beta
  for_each               = toset(var.key[*].key_id)
  secret                 = google_secret_manager_secret.key[0].id
  secret_data_wo         = google_apikeys_key.key[each.key].key_string # in no plan, and not a second time in the state
  secret_data_wo_version = var.key.generation
  deletion_policy        = "DISABLE" # also a change for an adopted one, without which Terraform would not note what follows

  lifecycle {
    create_before_destroy = true                                  # latest is never a destroyed version
    ignore_changes        = [secret_data, secret_data_wo_version] # as an adopted one has them: it would be replaced
    replace_triggered_by  = [google_apikeys_key.key[each.key].uid]
  }
}

# What follows the version: so Terraform lets one go only when the next is there, though each has an address of its own.
resource "terraform_data" "kept" {
  count = var.key == null ? 0 : 1
  input = google_secret_manager_secret_version.key[var.key.key_id].name
}
