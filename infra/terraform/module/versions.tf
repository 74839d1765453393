terraform {
  required_version = ">= 1.11" # write-only arguments: the key's text is in no plan
  required_providers {
    # google-beta alone: API Gateway is nowhere else, and all else is in it too.
    google-beta = { source = "hashicorp/google-beta", version = "8.7.0" }
  }
  backend "gcs" {} # bucket and prefix come with init -backend-config
}

provider "google-beta" {
  project = var.project
  region  = var.region
}
