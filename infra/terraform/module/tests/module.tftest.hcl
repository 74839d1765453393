# What must hold of the module whatever its names are. Nothing is made: the provider is a mock with the schema of the real one.

mock_provider "google-beta" {}

variables {
  project = "acme-test"
  region  = "europe-west1"
  labels  = { app = "shop", environment = "production", managed-by = "slipway" }

  services = ["apigateway.googleapis.com", "apikeys.googleapis.com", "secretmanager.googleapis.com"]
  accounts = { gateway = { account_id = "shop-gateway", display_name = "Gateway of shop" } }
  roles    = { invoker = { role = "roles/run.invoker", member = "serviceAccount:shop-gateway@acme-test.iam.gserviceaccount.com" } }
  buckets  = { data = { name = "acme-test-shop-data", location = "europe-west1", versioning = true } }

  secrets = {
    token = { secret_id = "shop-token", accessors = ["user:ann@example.com", "user:bob@example.com"] }
  }

  gateway = {
    api_id          = "shop"
    config_id       = "shop-0123456789ab"
    gateway_id      = "shop"
    region          = "europe-west1"
    openapi_base64  = "c3dhZ2dlcjogIjIuMCI="
    service_account = "shop-gateway@acme-test.iam.gserviceaccount.com"
  }

  key = { key_id = "shop-client-2", display_name = "Clients of shop", secret_id = "shop-api-key", generation = 2 }
}

run "everything" {
  command = apply

  assert {
    condition     = one(google_apikeys_key.key["shop-client-2"].restrictions[0].api_targets).service == google_api_gateway_api.api[0].managed_service
    error_message = "The key must be good for the gateway's API alone."
  }

  assert {
    condition     = google_secret_manager_secret_version.key["shop-client-2"].secret_data_wo_version == "2"
    error_message = "A new generation of the key must be a new version of its secret."
  }

  assert {
    condition     = google_secret_manager_secret_version.key["shop-client-2"].secret_data == null
    error_message = "The key must be written only."
  }

  assert {
    condition     = google_api_gateway_gateway.gateway[0].api_config == google_api_gateway_api_config.config["shop-0123456789ab"].id
    error_message = "The gateway must serve the config of this run."
  }

  assert {
    condition     = google_storage_bucket.bucket["data"].location == "EUROPE-WEST1" && google_storage_bucket.bucket["data"].uniform_bucket_level_access && google_storage_bucket.bucket["data"].public_access_prevention == "enforced"
    error_message = "A bucket is closed to the public, and its location is as it is read back."
  }

  assert {
    condition     = toset(keys(google_secret_manager_secret_iam_member.accessor)) == toset(["token/user:ann@example.com", "token/user:bob@example.com"])
    error_message = "Whoever may read a secret has an address of its own."
  }

  assert {
    condition     = alltrue([for service in google_project_service.service : !service.disable_on_destroy]) && !google_project_service.managed[0].disable_on_destroy
    error_message = "What others may need is not switched off."
  }

  assert {
    condition     = output.gateway_url == "https://${google_api_gateway_gateway.gateway[0].default_hostname}" && output.key_secret == google_secret_manager_secret_version.key["shop-client-2"].name && output.accounts == { gateway = google_service_account.account["gateway"].email }
    error_message = "Outputs say where things are."
  }
}

run "nothing_asked_for_nothing_made" {
  command = plan

  variables {
    services = []
    accounts = {}
    roles    = {}
    buckets  = {}
    secrets  = {}
    gateway  = null
    key      = null
  }

  assert {
    condition     = output.gateway_url == null && output.key_secret == null && output.managed_service == null && length(output.buckets) == 0
    error_message = "There is nothing."
  }
}

run "no_key_without_what_it_is_restricted_to" {
  command = plan

  variables {
    gateway = null
  }

  expect_failures = [var.key]
}
