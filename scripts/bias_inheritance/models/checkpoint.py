"""Training checkpoints; resuming gives bit-identical results (on the same CPU type with the same number of threads)."""

import hashlib
import io
import os

from bias_inheritance.plumbing import files


def save(path, weights, optimiser, log, finished):
    """Write the state preceded by its sha256, since torch does not detect changed bytes.

    After the last step the optimiser state, two thirds of the file, is omitted.
    """
    import torch

    state = {
        "weights": [weight.detach() for weight in weights],
        "log": log,
        "torch": torch.get_rng_state(),
        "cuda": torch.cuda.get_rng_state_all(),  # dropout draws from it; empty without a GPU
    }
    if not finished:
        state["optimiser"] = optimiser.state_dict()
    buffer = io.BytesIO()
    torch.save(state, buffer)
    with files.replacing(path) as temporary:
        temporary.write_bytes(hashlib.sha256(buffer.getbuffer()).digest() + buffer.getbuffer())


def restore(path, weights, optimiser):
    """Load a checkpoint into the given objects and return its log, or [] if there is none.

    A damaged checkpoint is renamed, and training starts over.
    """
    import torch

    if not path.exists():
        return []
    content = path.read_bytes()
    if hashlib.sha256(content[32:]).digest() != content[:32]:
        aside = path.with_suffix(".broken")
        os.replace(path, aside)
        print(f"{path}: the checkpoint is damaged; kept as {aside.name}, training starts over")
        return []
    state = torch.load(io.BytesIO(content[32:]), weights_only=True)
    with torch.no_grad():
        for weight, saved in zip(weights, state["weights"], strict=True):
            weight.copy_(saved)
    if "optimiser" in state:
        optimiser.load_state_dict(state["optimiser"])
    torch.set_rng_state(state["torch"])
    torch.cuda.set_rng_state_all(state["cuda"])
    print(f"resumed after step {len(state['log'])}")
    return state["log"]
