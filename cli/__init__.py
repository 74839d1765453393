"""The `slipway` command: thin over the flows."""
