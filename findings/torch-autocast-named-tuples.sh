#!/bin/sh
# torch.amp.custom_fwd(cast_inputs=…) takes apart and builds again every list, tuple and dict among the arguments of a custom
# operation, and only while autocast is on: named tuples and other subclasses that need more than one argument fail then.
#
# Versions: torch 2.13.0 (CPU). Input: a torch.autograd.Function with a float32 tensor, and a NamedTuple of two integers that
# describes a row of packed samples, as an operation of a QLoRA layer has them; forward decorated with
# custom_fwd(device_type="cpu", cast_inputs=torch.bfloat16).
# Expected: the tensor is cast under autocast, and an argument that holds no tensor arrives as it is.
# Seen:
# - without autocast, forward gets the NamedTuple; so a test in float32 passes;
# - under autocast, TypeError before forward runs: the class is called with a generator as its only argument;
# - under autocast, a list subclass arrives as another object, without its attributes; a dataclass arrives as it is;
# - float32 tensors within a plain tuple are cast too, which the arguments of the backward pass do not show.
# Nothing warns that arguments other than tensors are rebuilt. The script fails when one of these changes.
set -eu
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/env"
"$folder/env/bin/python" -m pip install --quiet --disable-pip-version-check torch==2.13.0 numpy==2.4.6
cat >"$folder/show.py" <<'PYTHON'
from dataclasses import dataclass
from typing import NamedTuple

import torch


class Row(NamedTuple):
    opening: int
    length: int


@dataclass
class Described:
    opening: int
    length: int


class Bounds(list):
    """A list with an attribute."""


class Operation(torch.autograd.Function):
    @staticmethod
    @torch.amp.custom_fwd(device_type="cpu", cast_inputs=torch.bfloat16)
    def forward(context, x, described):
        Operation.seen = x.dtype, described
        return x * 2

    @staticmethod
    @torch.amp.custom_bwd(device_type="cpu")
    def backward(context, gradient):
        return gradient * 2, None


def arrives(described, autocast):
    """The type of x in forward, and the other argument, or the name of the error."""
    with torch.autocast("cpu", dtype=torch.bfloat16, enabled=autocast):
        try:
            Operation.apply(torch.ones(2, requires_grad=True), described)
        except TypeError as error:
            print("under autocast:", error)
            return None, "TypeError"
    return Operation.seen


print("torch", torch.__version__)
bounds = Bounds([1, 2])
bounds.unit = "tokens"
row, described, pair = Row(1, 2), Described(1, 2), (torch.ones(2), 3)

assert arrives(row, False) == (torch.float32, row)
assert arrives(row, True)[1] == "TypeError"
assert arrives(bounds, False)[1] is bounds
dtype, rebuilt = arrives(bounds, True)
print("list subclass under autocast:", type(rebuilt).__name__, rebuilt, "same object:", rebuilt is bounds)
assert dtype == torch.bfloat16 and type(rebuilt) is Bounds and rebuilt == bounds and not hasattr(rebuilt, "unit")
assert arrives(described, True)[1] is described
within = arrives(pair, True)[1][0].dtype
print("float32 tensor within a tuple under autocast:", within)
assert within == torch.bfloat16
print("as described")
PYTHON
"$folder/env/bin/python" "$folder/show.py"
