"""A frozen linear layer and its LoRA as one operation on CPUs: what peft computes, without passes over the output between.

peft multiplies, scales and adds in separate steps, each of which reads and writes a whole activation; at the size of a
small model that costs as much as the small products themselves.
"""

import torch
from peft.tuners.lora import Linear


class LinearWithLora(torch.autograd.Function):
    """x·Wᵀ + scaling·(x·Aᵀ)·Bᵀ; W (out × in) is frozen and gets no gradient, x (… × in), A (r × in) and B (out × r) do."""

    @staticmethod
    @torch.amp.custom_fwd(device_type="cpu", cast_inputs=torch.bfloat16)
    def forward(context, x, weight, a, b, scaling):
        rows = x.reshape(-1, x.shape[-1])
        a, b = a.to(x.dtype), b.to(x.dtype)  # kept in 32 bits while they learn
        narrow = rows @ a.T
        wide = rows @ weight.T
        wide.addmm_(narrow, b.T, alpha=scaling)
        context.save_for_backward(rows, weight, a, b, narrow)
        context.scaling = scaling
        return wide.view(*x.shape[:-1], -1)

    @staticmethod
    @torch.amp.custom_bwd(device_type="cpu")
    def backward(context, gradient):
        rows, weight, a, b, narrow = context.saved_tensors
        wide = gradient.reshape(-1, gradient.shape[-1])
        back = (wide @ b) * context.scaling
        of_x = None
        if context.needs_input_grad[0]:  # the first layer's input is the frozen embedding
            of_x = (wide @ weight).addmm_(back, a).view(*gradient.shape[:-1], -1)
        return of_x, None, back.T @ rows, (wide.T @ narrow) * context.scaling, None


class FusedLinear(Linear):
    """peft's layer with one adapter, computed in one operation while that adapter is on."""

    def forward(self, x, *arguments, **options):
        if self.disable_adapters:
            return super().forward(x, *arguments, **options)
        (name,) = self.active_adapters
        a, b = self.lora_A[name].weight, self.lora_B[name].weight
        return LinearWithLora.apply(x, self.base_layer.weight, a, b, self.scaling[name])


def fuse(tuned):
    """Have the layers of a model with one adapter compute in one operation; those with dropout or a bias stay peft's."""
    for layer in tuned.modules():
        if (
            type(layer) is Linear
            and layer.base_layer.bias is None
            and not any(isinstance(dropout, torch.nn.Dropout) for dropout in layer.lora_dropout.values())
        ):
            layer.__class__ = FusedLinear
