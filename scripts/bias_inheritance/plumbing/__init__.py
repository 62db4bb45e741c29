"""What every step stands on: steps, records, provenance, audit, files, progress, warm start, GPUs, errors, seeds."""
