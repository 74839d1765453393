"""Cloud Scheduler: its jobs can be made, read, listed and deleted; none ever fires here."""
