"""Tests, intervals and power; no module here knows of studies."""
