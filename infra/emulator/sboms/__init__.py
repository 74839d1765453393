"""Artifact Analysis: bills of materials of images that are scanned, as SPDX 2.3 in a bucket of the project."""
