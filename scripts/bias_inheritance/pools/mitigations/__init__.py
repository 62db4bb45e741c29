"""Mitigations that act on D_a before training: one module per method, with one function named after its target.

A file of catalog/mitigations lists methods with their settings under `text`, `rows` and `weights`. All functions have the
signature (target, settings, setting), where `setting` is a `mixing.Setting`:

- text(sample, …) → the sample to train on: a new `text`, or a `prefix` for its prompt. Called for each sample of D_a.
- rows(samples, …) → the same number of samples, so that γ is unchanged.
- weights(rows, …) → a loss weight for each row of D, with mean 1.

Mitigations of the loss itself (`loss`) have no module in this package; they are computed during training.
"""
