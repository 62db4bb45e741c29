"""Losses that fine-tuning minimises the sum of, one file each.

A loss is a callable `(model, batch, step) → (value, columns)`. It adds the gradient of its value to the weights, and
returns the value (a float) with what the training log says of it ({column: float}). `batch` is the step's list of
samples and `step` its number from 0, by which a loss draws at random: so nothing but the weights and the optimiser has to
be restored when training resumes. Another loss, as of preference tuning, is another file here and a line in
scripts/finetune.py.
"""
