"""Attention, LoRA and packed samples for Llama models on a CPU; the only entry point is `door.accelerate`."""
