"""Downstream tasks: each module says what is asked (`items`) and what the answers show (`score`).

An item is a dict: item (its name), cluster (what is resampled together), group, prompt, and either options (answers
whose log-probability is taken) or max_new_tokens (free text), plus what `score` needs. `score` gets the stored
predictions alone, a list of items with `logprobs` or `text` added, and returns rows of scores.csv.
"""
