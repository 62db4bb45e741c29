"""What every step is built on: steps, records, provenance, audit, files, progress, warm start, GPUs, errors, seeds."""
