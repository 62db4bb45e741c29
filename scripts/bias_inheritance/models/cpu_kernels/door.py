"""The only entry point of the CPU kernels: accelerate a Llama on a CPU, or refuse."""

from transformers import LlamaForCausalLM

from bias_inheritance.models import network
from bias_inheritance.models.cpu_kernels import attention, layers
from bias_inheritance.plumbing.errors import UserError


def accelerate(model):
    """Switch a Llama on a CPU, including its adapter, to the kernels.

    The results are those of transformers and peft up to rounding; layers with dropout or a bias are not replaced. Call it
    again after adding an adapter. Raises UserError for unsupported models.
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
        reason = "not one with attention dropout"
    if reason:
        raise UserError(f"CPU kernels support LlamaForCausalLM on a CPU, {reason}; use the model without them")
    attention.register()
    llama.set_attn_implementation(network.CPU_KERNELS)
    layers.fuse(model)
