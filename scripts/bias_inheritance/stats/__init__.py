"""Statistical tests, intervals and power; independent of the configuration of studies."""
