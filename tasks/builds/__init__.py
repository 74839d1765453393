"""From source to image: the archive, the build and its log. Begin with `build`. Imports up to `history`."""
