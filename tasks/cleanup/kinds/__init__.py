"""Each kind of resource that clean-up knows: how it is listed, used and deleted."""
