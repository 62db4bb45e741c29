"""Losses whose sum fine-tuning minimises, one file each.

A loss is a callable `(model, batch, step) → (value, columns)`. It adds the gradient of its value to the weights and returns
the value (a float) with its columns of the training log ({column: float}). `batch` is the step's list of samples, `step`
its number from 0, which seeds random draws: only the weights and the optimiser have to be restored when training resumes.
To add a loss, for example for preference tuning, add a file here and a line in scripts/finetune.py.
"""
