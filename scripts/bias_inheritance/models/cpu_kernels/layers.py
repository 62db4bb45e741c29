"""The layers of a Llama with LoRA on a CPU: each half of a layer is one operation on packed samples.

peft multiplies, scales and adds in separate steps, each of which reads and writes a whole activation, and automatic
differentiation keeps the intermediate results; for a small model this costs as much as the products themselves. Here, each
half keeps its input and the results of its large products; the backward pass repeats norms and attention weights.
"""

import torch
from peft.tuners.lora import Linear
from torch.nn.functional import silu
from transformers.models.llama.modeling_llama import LlamaDecoderLayer, LlamaRMSNorm

from bias_inheritance.models.cpu_kernels import attention

_WORKSPACE = {}  # memory for intermediate results, by their name and type


def _workspace(name, like):
    """Memory like the tensor `like`, which every layer uses again.

    A result that is freed between others that are kept for the backward pass would leave a gap, which glibc does not fill
    with one of the same size; in float32 the gaps of a row of 1,000 tokens took 0.3 GB.
    """
    if torch.is_inference_mode_enabled():  # nothing is kept, and memory of this mode cannot be used in training
        return torch.empty_like(like)
    space = _WORKSPACE.get((name, like.dtype))
    if space is None or space.numel() < like.numel():
        space = _WORKSPACE[name, like.dtype] = torch.empty(like.numel(), dtype=like.dtype)
    return space[: like.numel()].view(like.shape)


class AttentionHalf(torch.autograd.Function):
    """x + o(attention(q(n), k(n), v(n))), n the norm of x, each product with its LoRA.

    x: N × width, a packed row; norm: the norm's weight; cosines, sines: N × 1 × d/2, of the rotary embedding; constants: the
    norm's epsilon, the factor of scores, the row's blocks, the scalings of LoRA; weights: W, A and B (None without LoRA) of
    q, k, v and o. W is frozen.
    """

    @staticmethod
    @torch.amp.custom_fwd(device_type="cpu", cast_inputs=torch.bfloat16)
    def forward(context, x, norm, cosines, sines, constants, *weights):
        epsilon, factor, packing, scalings = constants
        layers = _triples(weights)
        rows, scale = normalise(x, norm, epsilon, _workspace("norm", x))
        (query, narrow_q), (key, narrow_k), (value, narrow_v) = map(_product, [rows] * 3, scalings[:3], layers[:3])
        query, key, value = (states.view(len(x), -1, 2 * cosines.shape[-1]) for states in (query, key, value))
        query, key = _turn(query, cosines * factor, sines * factor), _turn(key, cosines, sines)
        wide, narrow_o = _product(attention.attend(query, key, value, packing), scalings[3], layers[3])
        narrow = narrow_q, narrow_k, narrow_v, narrow_o
        context.save_for_backward(x, norm, scale, cosines, sines, query, key, value, *narrow, *weights)
        context.constants = constants
        return wide.add_(x)

    @staticmethod
    @torch.amp.custom_bwd(device_type="cpu")
    def backward(context, gradient):
        x, norm, scale, cosines, sines, query, key, value, *others = context.saved_tensors
        _, factor, packing, scalings = context.constants
        narrow, layers = others[:4], _triples(others[4:])
        of_mixed, back = _through(gradient, scalings[3], layers[3])
        mixed, of_query, of_key, of_value = attention.attend_backward(query, key, value, of_mixed, packing)
        of_o = _of_weights(gradient, back, mixed, narrow[3], scalings[3])
        of_query, of_key = _turn(of_query, cosines * factor, -sines * factor), _turn(of_key, cosines, -sines)
        needed = context.needs_input_grad[0]  # not by the first layer, whose input is the frozen embedding
        unit, of_rows, of_layers = x * scale, None, []
        rows = unit.to(x.dtype) * norm
        for number, states in enumerate((of_query, of_key, of_value)):
            states = states.view(len(x), -1)
            of_rows, back = _through(states, scalings[number], layers[number], total=of_rows, needed=needed)
            of_layers += _of_weights(states, back, rows, narrow[number], scalings[number])
        of_x = _normalise_backward(of_rows, unit, norm, scale).add_(gradient) if needed else None
        return of_x, None, None, None, None, *of_layers, *of_o


class GatedHalf(torch.autograd.Function):
    """x + down(silu(gate(n)) · up(n)), n the norm of x, each product with its LoRA.

    x: N × width; norm: the norm's weight; constants: its epsilon, the scalings of LoRA; weights: W, A and B (None without
    LoRA) of gate, up and down. W is frozen.
    """

    @staticmethod
    @torch.amp.custom_fwd(device_type="cpu", cast_inputs=torch.bfloat16)
    def forward(context, x, norm, constants, *weights):
        epsilon, scalings = constants
        layers = _triples(weights)
        rows, scale = normalise(x, norm, epsilon, _workspace("norm", x))
        (gate, narrow_gate), (up, narrow_up) = map(_product, [rows] * 2, scalings[:2], layers[:2])
        product = torch.ops.aten.silu.out(gate, out=_workspace("product", gate)).mul_(up)
        wide, narrow_down = _product(product, scalings[2], layers[2])
        context.save_for_backward(x, norm, scale, gate, up, narrow_gate, narrow_up, narrow_down, *weights)
        context.scalings = scalings
        return wide.add_(x)

    @staticmethod
    @torch.amp.custom_bwd(device_type="cpu")
    def backward(context, gradient):
        x, norm, scale, gate, up, narrow_gate, narrow_up, narrow_down, *weights = context.saved_tensors
        scalings, layers = context.scalings, _triples(weights)
        of_product, back = _through(gradient, scalings[2], layers[2])
        opened = silu(gate)
        of_down = _of_weights(gradient, back, opened * up, narrow_down, scalings[2])
        of_up = opened.mul_(of_product)
        of_gate = torch.ops.aten.silu_backward(of_product.mul_(up), gate)
        unit = x * scale
        rows = unit.to(x.dtype) * norm
        of_rows, back = _through(of_gate, scalings[0], layers[0])
        of_gate = _of_weights(of_gate, back, rows, narrow_gate, scalings[0])
        of_rows, back = _through(of_up, scalings[1], layers[1], total=of_rows)
        of_up = _of_weights(of_up, back, rows, narrow_up, scalings[1])
        of_x = _normalise_backward(of_rows, unit, norm, scale).add_(gradient)
        return of_x, None, None, *of_gate, *of_up, *of_down


def _triples(weights):
    """W, A and B of each layer."""
    return [weights[first : first + 3] for first in range(0, len(weights), 3)]


def _product(rows, scaling, layer):
    """x·Wᵀ + scaling·(x·Aᵀ)·Bᵀ of the rows x, and x·Aᵀ, which the backward pass needs (None without LoRA)."""
    weight, a, b = layer
    if a is None:
        return rows @ weight.T, None
    narrow = rows @ a.to(rows.dtype).T  # A and B are float32 during training
    return (rows @ weight.T).addmm_(narrow, b.to(rows.dtype).T, alpha=scaling), narrow


def _through(states, scaling, layer, total=None, needed=True):
    """The gradients of x, added to `total` (None if not needed), and of x·Aᵀ from that of the product."""
    weight, a, b = layer
    back = None if a is None else (states @ b.to(states.dtype)).mul_(scaling)
    if not needed:
        return None, back
    of_x = states @ weight if total is None else total.addmm_(states, weight)
    return of_x if a is None else of_x.addmm_(back, a.to(states.dtype)), back


def _of_weights(states, back, rows, narrow, scaling):
    """The gradients of W (None), A and B from those of the product and of x·Aᵀ."""
    return (None, None, None) if back is None else (None, back.T @ rows, (states.T @ narrow).mul_(scaling))


def normalise(x, weight, epsilon, out):
    """x / RMS(x) · weight along the last axis, computed in float32 and written to `out`, and 1 / RMS(x)."""
    length = torch.linalg.vector_norm(x, dim=-1, keepdim=True, dtype=torch.float32)
    scale = length.square_().div_(x.shape[-1]).add_(epsilon).rsqrt_()
    return torch.mul(x, scale, out=out).mul_(weight), scale


def _normalise_backward(gradient, unit, weight, scale):
    """The gradient of x; unit: x / RMS(x) in float32, which is overwritten."""
    of_unit = (gradient * weight).float()
    along = (of_unit * unit).mean(-1, keepdim=True)
    return of_unit.sub_(unit.mul_(along)).mul_(scale).to(gradient.dtype)


def _turn(x, cosines, sines):
    """The rotary embedding of x (N × heads × d): each pair of numbers d/2 apart is turned by its angle."""
    turned = torch.empty_like(x)
    (first, second), (left, right) = x.chunk(2, -1), turned.chunk(2, -1)
    torch.mul(first, cosines, out=left).addcmul_(second, sines, value=-1)
    torch.mul(second, cosines, out=right).addcmul_(first, sines)
    return turned


class FusedLinear(Linear):
    """peft's layer with one adapter; without gradients, in fewer steps while the adapter is active and not merged."""

    def forward(self, x, *arguments, **options):
        if arguments or options or torch.is_grad_enabled() or not self.adds():
            return super().forward(x, *arguments, **options)
        scaling, *layer = parts(self)
        return _product(x.reshape(-1, x.shape[-1]), scaling, layer)[0].view(*x.shape[:-1], -1)

    def adds(self):
        """Whether to add the adapter's product: it is neither disabled nor merged into the weights."""
        return not (self.disable_adapters or self.merged)


class FusedNorm(LlamaRMSNorm):
    """transformers' norm; without gradients, in fewer steps."""

    def forward(self, hidden_states):
        if torch.is_grad_enabled():
            return super().forward(hidden_states)
        return normalise(hidden_states, self.weight, self.variance_epsilon, torch.empty_like(hidden_states))[0]


class FusedLayer(LlamaDecoderLayer):
    """transformers' layer; packed samples are computed in two operations, unless LoRA has dropout or a product has a bias.

    packing: the blocks of a row of samples, or None for a batch; output_places: indices of tokens, or None: after the last
    layer's attention, only these are computed.
    """

    def forward(self, hidden_states, packing=None, output_places=None, position_embeddings=None, **options):
        if packing is None:
            return super().forward(hidden_states, position_embeddings=position_embeddings, **options)
        mixer, gated = self.self_attn, self.mlp
        if mixer.layer_idx < mixer.config.num_hidden_layers - 1:
            output_places = None
        products = (
            mixer.q_proj,
            mixer.k_proj,
            mixer.v_proj,
            mixer.o_proj,
            gated.gate_proj,
            gated.up_proj,
            gated.down_proj,
        )
        fused = [parts(product) for product in products]
        if None in fused or gated.config.hidden_act != "silu":
            options |= {"packing": packing, "position_embeddings": position_embeddings}
            hidden_states = super().forward(hidden_states, **options)
            return hidden_states if output_places is None else hidden_states[:, output_places]
        scalings, layers = [scaling for scaling, *_ in fused], [weight for _, *layer in fused for weight in layer]
        cosines, sines = (angles[0, :, None].chunk(2, -1)[0] for angles in position_embeddings)
        norm = self.input_layernorm
        constants = norm.variance_epsilon, mixer.scaling, packing, scalings[:4]
        x = AttentionHalf.apply(hidden_states[0], norm.weight, cosines, sines, constants, *layers[:12])
        if output_places is not None:
            x = x[output_places]
        norm = self.post_attention_layernorm
        constants = norm.variance_epsilon, scalings[4:]
        return GatedHalf.apply(x, norm.weight, constants, *layers[12:]).unsqueeze(0)


def parts(layer):
    """The scaling, W, A and B of a linear layer, A and B None if no adapter acts; None if this file does not compute it."""
    if type(layer) is FusedLinear and layer.adds():
        (name,) = layer.active_adapters
        return layer.scaling[name], layer.base_layer.weight, layer.lora_A[name].weight, layer.lora_B[name].weight
    weights = getattr(layer, "base_layer", layer)
    if type(layer) in (FusedLinear, torch.nn.Linear) and weights.bias is None:
        return 0.0, weights.weight, None, None
    return None


def fuse(model):
    """Fuse the layers of a Llama, including those of its adapter.

    LoRA layers with dropout or a bias are not replaced. Only the layers' class changes, not their weights, so that peft can
    still save, disable and unload the adapter.
    """
    for layer in model.modules():
        if (
            type(layer) is Linear
            and layer.base_layer.bias is None
            and not layer.lora_variant
            and all(product.bias is None for product in layer.lora_B.values())
            and not any(isinstance(dropout, torch.nn.Dropout) for dropout in layer.lora_dropout.values())
        ):
            layer.__class__ = FusedLinear
        elif type(layer) is LlamaRMSNorm:
            layer.__class__ = FusedNorm
        elif type(layer) is LlamaDecoderLayer:
            layer.__class__ = FusedLayer
