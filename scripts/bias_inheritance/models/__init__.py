"""Models: fetched, prepared, trained, scored and sampled, on this machine or behind a server."""
