"""Terraform: the embedded module, what `init` needs without a network, and how a run of it is watched and ended."""
