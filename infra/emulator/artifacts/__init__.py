"""Artifact Registry: repositories, the images in them, the API over both, and the OCI registry."""
