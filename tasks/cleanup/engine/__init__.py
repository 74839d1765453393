"""Which resources may go, and in which order: pure, from what was found. Begin with `plan`."""
