"""What a run was asked for, and which version that is. Begin with `request`. Imports up to `orchestration`."""
