"""Attention, LoRA and packed samples for a Llama on a CPU; `door.accelerate` is the only way in."""
