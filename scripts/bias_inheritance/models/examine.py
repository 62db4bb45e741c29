"""Checks of a model when it is prepared; anything unsupported is reported in one line.

The chat template is tried out (chat.py). Layers that would be neither rounded nor tuned are searched for. Scores, samples
and losses, which are computed with padded batches, a tree of options and a cache, are compared with the model's own logits
for one text at a time: some architectures attend to padding, or transform their logits in a way that network.py does not
implement.
"""

from bias_inheritance.models import adapters, generation, network, scoring
from bias_inheritance.plumbing.errors import UserError

# Nats per token. In SmolLM2-135M, bf16 rounding accounts for 0.09, attention between samples for 8.5: the texts below
# repeat each other, and a model that attends to one copies from it.
TOLERANCE = 0.5
LARGEST_UNTOUCHED = (
    0.01  # ASSUME: the share of weights that may remain unrounded and untuned; norms with a matrix have less
)


def examine(model, targets=()):
    """How a model may be computed: {cpu_kernels, option_tree}, both bool. Accelerates the model if the kernels agree.

    option_tree: whether a prompt's options may be scored in one pass (scoring.py). model: as loaded by transformers.
    targets: names of the layers that the study adapts, none if all linear ones.
    Raises UserError for a model that would give wrong results.
    """
    refuse_untouched_layers(model)
    refuse_other_layers(model, targets)
    try:
        probe = Probe(model)
    except Exception as fault:  # a package that its code needs, a missing cache, …
        raise UserError(f"{_kind(model)} does not run on this machine ({_line(fault)}); use another model") from None
    tree = not _report("options are scored one by one", probe.problem(probe.tree))
    for check in (probe.losses, probe.texts) if tree else (probe.losses, probe.texts, probe.one_by_one):
        if problem := probe.problem(check):
            raise UserError(
                f"{_kind(model)} gives different log-probabilities in batches than for a single text ({problem}); use another model"
            )
    kernels = tree and _accelerate(model) and not _report("no CPU kernels", probe.problem_of_any())
    return {"cpu_kernels": kernels, "option_tree": tree}


def refuse_untouched_layers(model):
    """Raise UserError for weight matrices outside linear layers, which would be neither rounded to NF4 nor tuned by LoRA.

    Mixtures of experts store all experts of a layer in one three-dimensional tensor.
    """
    import torch

    treated = (torch.nn.Linear, torch.nn.Embedding)
    untouched = {
        f"{place}.{key}": weight.numel()
        for place, module in model.named_modules()
        if not isinstance(module, treated)
        for key, weight in module.named_parameters(recurse=False)
        if weight.squeeze().ndim > 1
    }
    share = sum(untouched.values()) / sum(weight.numel() for weight in model.parameters())
    if share > LARGEST_UNTOUCHED:
        raise UserError(
            f"{_kind(model)} has {share:.0%} of its weights outside linear layers ({max(untouched, key=untouched.get)}, …), as in mixtures of experts; they would be neither rounded to NF4 nor tuned: use a dense transformer"
        )


def refuse_other_layers(model, targets):
    """Raise UserError if `targets` names a layer that the model lacks, which peft ignores as long as it finds another one,
    or if the model has a linear layer that a list cannot name. Fused projections, such as Phi-3's, are the usual case.
    """
    import torch

    head = model.get_output_embeddings()
    layers = {
        place.rpartition(".")[2]: None
        for place, module in model.named_modules()
        if isinstance(module, torch.nn.Linear) and module is not head
    }
    missing = [name for name in targets if name not in layers]
    fused = [name for name in layers if name not in adapters.PROJECTIONS]
    if targets and (missing or fused):
        raise UserError(
            f"LoRA is to adapt {', '.join(targets)}, and the linear layers of {_kind(model)} are {', '.join(layers)}; use finetune.targets: all-linear"
        )


def _accelerate(model):
    from bias_inheritance.models import base

    if base.device() != "cpu":
        return False
    from bias_inheritance.models.cpu_kernels import door

    try:
        door.accelerate(model)
    except UserError as refusal:
        print(refusal)
        return False
    return True


def _report(consequence, problem):
    """Print the consequence of a problem, if there is one; returns the problem."""
    if problem:
        print(f"{consequence}: {problem}")
    return problem


def _line(fault):
    return " ".join(str(fault).split())[:200]


def _kind(model):
    return f"the architecture {type(model).__name__}"


class Probe:
    """Short invented texts with their reference log-probabilities from the model itself.

    The checks losses, texts, tree and one_by_one each return the largest difference from the reference, in nats per token.
    """

    def __init__(self, model):
        import numpy as np
        import torch

        self.model = model
        vocabulary = model.config.get_text_config().vocab_size
        draw = np.random.default_rng(1).integers(vocabulary // 4, vocabulary // 2, 40).tolist()
        self.opening = draw[:5]
        # later prompts start in the middle of the first one, whose continuation is among the options
        self.prompts = [draw[:30], self.opening + draw[12:20], self.opening + draw[22:27]]
        self.options = [[draw[30:33], draw[30:32] + draw[5:7], draw[8:9]], [draw[20:23], draw[9:11]], [draw[27:31]]]
        self.samples = [
            {"prompt": prompt, "answer": option}
            for prompt, options in zip(self.prompts, self.options, strict=True)
            for option in options
        ]
        self.lengths = torch.tensor([len(sample["answer"]) for sample in self.samples])
        expected = [self._alone(sample["prompt"], sample["answer"])[0].sum() for sample in self.samples]
        self.expected = torch.stack(expected)

    def _alone(self, prompt, answer):
        """Reference: the log-probability of each token of an answer, and of the likeliest token at its position."""
        import torch

        with torch.inference_mode():
            logits = self.model(input_ids=torch.tensor([prompt + answer], device=self.model.device)).logits[0].float()
        logprobs = torch.log_softmax(logits[len(prompt) - 1 : -1], -1).cpu()
        return logprobs.gather(1, torch.tensor(answer).unsqueeze(1)).squeeze(1), logprobs.max(-1).values

    def problem(self, check):
        """Why a check fails, or None."""
        try:
            difference = check()
        except Exception as fault:  # architectures raise various exceptions for unsupported usage
            return f"{check.__name__}: {_line(fault)}"
        return None if difference <= TOLERANCE else f"{check.__name__}: off by {difference:.1f} nats per token"

    def problem_of_any(self):
        return next(filter(None, map(self.problem, (self.losses, self.texts, self.tree))), None)

    def losses(self):
        import torch

        with torch.no_grad():
            losses = network.answer_losses(self.model, self.samples, network.head(self.model))
        return self._difference(-losses)

    def tree(self):
        return self._options(tree=True)

    def one_by_one(self):
        return self._options(tree=False)

    def _options(self, tree):
        import torch

        rows = scoring.option_logprobs(self.model, self.opening, self.prompts, self.options, tree=tree)
        return self._difference(torch.tensor([value for row in rows for value in row]))

    def texts(self):
        """How far the likeliest token of each sampling step is below the reference's likeliest token."""
        written, _ = generation.continuations(
            self.model,
            self.prompts,
            [0] * len(self.prompts),
            pad=self.opening[0],
            ends=set(),
            max_new_tokens=6,
            temperature=0,
        )
        return max((best - chosen).max().item() for chosen, best in map(self._alone, self.prompts, written))

    def _difference(self, logprobs):
        return ((logprobs.cpu() - self.expected).abs() / self.lengths).max().item()
