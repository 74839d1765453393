"""The Knative-style API v1 that gcloud speaks: another view of the same services and revisions."""
