"""Downstream tasks: each module generates the items of a task (`items`) and scores the predictions (`score`).

An item is a dict: item (its id), cluster (the unit of resampling), group, prompt, and either options (answers that are
scored by log-probability) or max_new_tokens (free text), plus whatever `score` needs. `score` receives the stored
predictions only, a list of items with `logprobs` or `text` added, and returns rows of scores.csv.
"""
