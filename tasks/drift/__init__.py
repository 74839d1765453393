"""What is live against what was released. Begin with `judge`."""
