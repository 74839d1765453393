"""Kubernetes: how a cluster is reached, GKE's or any other, and plain calls to its API server."""
