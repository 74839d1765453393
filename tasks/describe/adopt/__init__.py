"""Writes slipway.yaml for services that are there already, as Cloud Run has them or as files describe them.

Readers make a `Seen` of each, whatever they read; `together` says it in the words of slipway.yaml, `render` writes it.
"""
