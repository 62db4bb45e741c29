"""A study: its configuration, the catalog, the grid of cells, and what it costs."""
