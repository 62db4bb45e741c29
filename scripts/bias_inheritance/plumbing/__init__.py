"""Infrastructure of the steps: records, provenance, audit, files, progress, warm start, GPUs, errors, seeds."""
