"""The only way into the CPU kernels: one Llama at a time, on a CPU, or a refusal."""

from transformers import LlamaForCausalLM

from bias_inheritance.models import network
from bias_inheritance.models.cpu_kernels import attention, layers
from bias_inheritance.plumbing.errors import UserError


def accelerate(model):
    """Have a Llama on a CPU, with its adapter if it has one, computed by the kernels from now on.

    The numbers are those of transformers and peft within rounding; layers with dropout or a bias stay theirs. To be
    called again after an adapter was added. Raises UserError for what the kernels do not compute.
    """
    llama = network.inner(model)
    reason = None
    if type(llama) is not LlamaForCausalLM:
        reason = f"not a {type(llama).__name__}"
    elif llama.device.type != "cpu":
        reason = f"not one on {llama.device.type}"
    elif getattr(llama, "is_quantized", False):
        reason = "not one with packed weights"
    elif llama.config.attention_dropout:
        reason = "not one whose attention drops out"
    if reason:
        raise UserError(f"CPU kernels: they compute a LlamaForCausalLM on a CPU, {reason}; use the plain path")
    attention.register()
    llama.set_attn_implementation(network.CPU_KERNELS)
    layers.fuse(model)
