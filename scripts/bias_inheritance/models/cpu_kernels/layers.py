"""Fused layers of a model with LoRA on CPUs: the computations of peft and transformers in fewer passes.

peft multiplies, scales and adds in separate steps, each of which reads and writes a whole activation, and automatic
differentiation keeps the intermediate results; for a small model this costs as much as the products themselves.
"""

import torch
from peft.tuners.lora import Linear
from torch.nn.functional import silu
from transformers.models.llama.modeling_llama import LlamaDecoderLayer, LlamaMLP, LlamaRMSNorm

from bias_inheritance.models import network


class LinearWithLora(torch.autograd.Function):
    """x·Wᵀ + scaling·(x·Aᵀ)·Bᵀ; W (out × in) is frozen and gets no gradient, x (… × in), A (r × in) and B (out × r) do."""

    @staticmethod
    @torch.amp.custom_fwd(device_type="cpu", cast_inputs=torch.bfloat16)
    def forward(context, x, scaling, *layer):
        rows = _rows(x)
        narrow, wide = _forward(rows, scaling, *layer)
        context.save_for_backward(rows, narrow, *layer)
        context.scaling = scaling
        return wide.view(*x.shape[:-1], -1)

    @staticmethod
    @torch.amp.custom_bwd(device_type="cpu")
    def backward(context, gradient):
        rows, narrow, *layer = context.saved_tensors
        needed = context.needs_input_grad[0]  # false for the first layer, whose input is the frozen embedding
        of_x, *of_layer = _backward(_rows(gradient), rows, narrow, context.scaling, *layer, needed=needed)
        return of_x.view(*gradient.shape[:-1], -1) if needed else None, None, *of_layer


class GatedWithLora(torch.autograd.Function):
    """down(silu(gate(x)) · up(x)), each with its LoRA as above; only the wide activations of gate and up are kept.

    x: … × in; scalings: of gate, up and down; layers: W, A and B of gate, then of up, then of down.
    """

    @staticmethod
    @torch.amp.custom_fwd(device_type="cpu", cast_inputs=torch.bfloat16)
    def forward(context, x, scalings, *layers):
        rows = _rows(x)
        narrow_gate, gate = _forward(rows, scalings[0], *layers[:3])
        narrow_up, up = _forward(rows, scalings[1], *layers[3:6])
        narrow_down, down = _forward(silu(gate).mul_(up), scalings[2], *layers[6:])
        context.save_for_backward(rows, gate, up, narrow_gate, narrow_up, narrow_down, *layers)
        context.scalings = scalings
        return down.view(*x.shape[:-1], -1)

    @staticmethod
    @torch.amp.custom_bwd(device_type="cpu")
    def backward(context, gradient):
        rows, gate, up, narrow_gate, narrow_up, narrow_down, *layers = context.saved_tensors
        opened = silu(gate)
        of_product, *of_down = _backward(_rows(gradient), opened * up, narrow_down, context.scalings[2], *layers[6:])
        of_up = opened.mul_(of_product)
        of_gate = torch.ops.aten.silu_backward(of_product.mul_(up), gate)
        through_gate, *of_gate = _backward(of_gate, rows, narrow_gate, context.scalings[0], *layers[:3])
        through_up, *of_up = _backward(of_up, rows, narrow_up, context.scalings[1], *layers[3:6])
        of_x = through_gate.add_(through_up).view(*gradient.shape[:-1], -1)
        return of_x, None, *of_gate, *of_up, *of_down


def _rows(x):
    return x.reshape(-1, x.shape[-1])


def _forward(rows, scaling, weight, a, b):
    """x·Aᵀ, which the backward pass needs, and the layer's output."""
    narrow = rows @ a.to(rows.dtype).T  # A and B are float32 during training
    return narrow, (rows @ weight.T).addmm_(narrow, b.to(rows.dtype).T, alpha=scaling)


def _backward(wide, rows, narrow, scaling, weight, a, b, needed=True):
    """The gradients of x (None where it is not needed), W (None), A and B from that of the output."""
    back = (wide @ b.to(wide.dtype)).mul_(scaling)
    of_x = (wide @ weight).addmm_(back, a.to(wide.dtype)) if needed else None
    return of_x, None, back.T @ rows, (wide.T @ narrow).mul_(scaling)


class Norm(torch.autograd.Function):
    """x / RMS(x) · weight along the last axis, computed in float32; the weight is frozen. Only x and 1 / RMS are kept."""

    @staticmethod
    def forward(context, x, weight, epsilon):
        wide = x.float()
        scale = wide.square().mean(-1, keepdim=True).add_(epsilon).rsqrt_()
        context.save_for_backward(x, weight, scale)
        return (wide * scale).to(x.dtype).mul_(weight)

    @staticmethod
    def backward(context, gradient):
        x, weight, scale = context.saved_tensors
        of_unit = (gradient * weight).float()
        unit = x * scale
        along = (of_unit * unit).mean(-1, keepdim=True)
        return of_unit.sub_(unit.mul_(along)).mul_(scale).to(x.dtype), None, None


class FusedLinear(Linear):
    """peft's layer with one adapter, computed in one operation while the adapter is active and not merged."""

    def forward(self, x, *arguments, **options):
        if arguments or options or not self.adds():
            return super().forward(x, *arguments, **options)
        return LinearWithLora.apply(x, *self.parts())

    def adds(self):
        """Whether to add the adapter's product: it is neither disabled nor merged into the weights."""
        return not (self.disable_adapters or self.merged)

    def parts(self):
        """The scaling, W, A and B."""
        (name,) = self.active_adapters
        return self.scaling[name], self.base_layer.weight, self.lora_A[name].weight, self.lora_B[name].weight


class FusedMLP(LlamaMLP):
    """transformers' gated MLP of three such layers, computed in one operation while their adapter is active.

    Without an adapter, or with one that not all three have (as after an `unload`), it is transformers' layer.
    """

    def forward(self, x):
        layers = self.gate_proj, self.up_proj, self.down_proj
        if not all(type(layer) is FusedLinear and layer.adds() for layer in layers):
            return super().forward(x)
        gate, up, down = (layer.parts() for layer in layers)
        return GatedWithLora.apply(x, (gate[0], up[0], down[0]), *gate[1:], *up[1:], *down[1:])


class FusedNorm(LlamaRMSNorm):
    """transformers' normalisation with a frozen weight, computed in one operation."""

    def forward(self, hidden_states):
        return Norm.apply(hidden_states, self.weight, self.variance_epsilon)


class LastLayer(LlamaDecoderLayer):
    """transformers' layer with optional `output_places`, indices of tokens: after attention, only these are computed."""

    def forward(self, hidden_states, output_places=None, **options):
        if output_places is None:
            return super().forward(hidden_states, **options)
        mixed, _ = self.self_attn(hidden_states=self.input_layernorm(hidden_states), **options)
        chosen = hidden_states[:, output_places] + mixed[:, output_places]
        return chosen + self.mlp(self.post_attention_layernorm(chosen))


def fuse(model):
    """Fuse the layers of a Llama, including those of its adapter.

    LoRA layers with dropout or a bias are not replaced. Only the layers' class changes, not their weights, so that peft can
    still save, disable and unload the adapter.
    """
    network.body(model).layers[-1].__class__ = LastLayer
    for layer in model.modules():
        if (
            type(layer) is Linear
            and layer.base_layer.bias is None
            and not layer.lora_variant
            and all(product.bias is None for product in layer.lora_B.values())
            and not any(isinstance(dropout, torch.nn.Dropout) for dropout in layer.lora_dropout.values())
        ):
            layer.__class__ = FusedLinear
    for layer in model.modules():
        if type(layer) is LlamaRMSNorm:
            layer.__class__ = FusedNorm
        elif (
            type(layer) is LlamaMLP
            and layer.config.hidden_act == "silu"
            and all(type(part) is FusedLinear for part in (layer.gate_proj, layer.up_proj, layer.down_proj))
        ):
            layer.__class__ = FusedMLP
