"""Pools of samples: balanced slots, checks of generated texts, mixes, what a pool shows of its groups."""
