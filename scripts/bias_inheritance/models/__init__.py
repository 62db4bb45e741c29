"""Models: download, preparation, training, scoring and sampling, local or on a server."""
