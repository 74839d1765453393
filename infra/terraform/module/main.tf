# What an app on Cloud Run needs around it. The services themselves are not here: whoever deploys them is their one writer.

locals {
  accessors = merge([
    for name, secret in var.secrets : {
      for member in secret.accessors : "${name}/${member}" => { secret = name, member = member }
    }
  ]...)
}

resource "google_project_service" "service" {
  provider           = google-beta
  for_each           = var.services
  service            = each.key
  disable_on_destroy = false # others may need it
}

resource "google_service_account" "account" {
  provider     = google-beta
  for_each     = var.accounts
  account_id   = each.value.account_id
  display_name = each.value.display_name
  depends_on   = [google_project_service.service]
}

resource "google_project_iam_member" "role" {
  provider   = google-beta
  for_each   = var.roles
  project    = var.project
  role       = each.value.role
  member     = each.value.member
  depends_on = [google_service_account.account]
}

resource "google_storage_bucket" "bucket" {
  provider                    = google-beta
  for_each                    = var.buckets
  name                        = each.value.name
  location                    = upper(each.value.location) # as it is read back: another case would replace the bucket
  labels                      = var.labels
  uniform_bucket_level_access = true
  public_access_prevention    = "enforced"

  versioning {
    enabled = each.value.versioning
  }

  depends_on = [google_project_service.service]
}

resource "google_secret_manager_secret" "secret" {
  provider  = google-beta
  for_each  = var.secrets
  secret_id = each.value.secret_id
  labels    = var.labels

  replication {
    auto {}
  }

  depends_on = [google_project_service.service]
}

resource "google_secret_manager_secret_iam_member" "accessor" {
  provider   = google-beta
  for_each   = local.accessors
  secret_id  = google_secret_manager_secret.secret[each.value.secret].id
  role       = "roles/secretmanager.secretAccessor"
  member     = each.value.member
  depends_on = [google_service_account.account]
}
