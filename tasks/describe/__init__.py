"""Writes the first slipway.yaml of an app that has none, from what its repository says."""
