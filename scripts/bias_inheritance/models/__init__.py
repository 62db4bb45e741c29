"""Models: fetched, loaded, trained, asked, here or behind a server."""
