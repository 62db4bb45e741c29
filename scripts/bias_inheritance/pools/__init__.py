"""Pools of samples: balanced slots, checks of generated texts, mixes, shares of groups."""
