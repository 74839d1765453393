"""Base job templates: what a run's process or container is, for each kind of work pool."""
