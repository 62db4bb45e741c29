"""The commands of `bias-inheritance`, one module each."""
