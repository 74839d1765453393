"""Is a revision healthy? Probes, metrics and the verdict. Begin with `verdict`. Imports up to `builds`."""
