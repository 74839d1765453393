# The key's text is no output, on purpose: whoever may read it reads it in Secret Manager.

output "gateway_url" {
  description = "Where the gateway answers; null without one."
  value       = one([for gateway in google_api_gateway_gateway.gateway : "https://${gateway.default_hostname}"])
}

output "managed_service" {
  description = "The API as a service, which a key's project enables; null without a gateway."
  value       = one(google_api_gateway_api.api[*].managed_service)
}

output "key_secret" {
  description = "The version of a secret that holds the key; null without one."
  value       = one([for version in google_secret_manager_secret_version.key : version.name])
}

output "accounts" {
  description = "Addresses of the service accounts."
  value       = { for name, account in google_service_account.account : name => account.email }
}

output "buckets" {
  description = "Names of the buckets."
  value       = { for name, bucket in google_storage_bucket.bucket : name => bucket.name }
}

output "secrets" {
  description = "Full names of the secrets."
  value       = { for name, secret in google_secret_manager_secret.secret : name => secret.id }
}
