"""Seeds derived from the purpose of a random draw: the same on every machine, and independent of all other draws."""

import hashlib


def record_seed(*parts):
    """A 63-bit seed from the `parts` (any values, converted to text) that identify a record or a draw."""
    return int.from_bytes(hashlib.sha256("\x1f".join(map(str, parts)).encode()).digest()[:8], "big") >> 1
