"""Attention and LoRA for a Llama on a CPU."""
