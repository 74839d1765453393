"""What must be right before anything changes, and the step that creates what is missing. Begin with `preflight`."""
