"""Mitigations that act on D_a before training: a module per method, with one function named by what it acts on.

A file of catalog/mitigations lists, under `text`, `rows` and `weights`, methods with their settings. All functions have the
same signature, (what they act on, settings, setting), and `setting` is a `mixing.Setting`:

- text(sample, …) → the sample as it is trained on: another `text`, or a `prefix` of its prompt. Called for each of D_a.
- rows(samples, …) → as many samples in their place, so that γ stays what it claims to be.
- weights(rows, …) → a weight in the loss for every row of D, on average 1.

What acts on the loss itself (`loss`) needs no module here: models/training.py computes it.
"""
