"""Which short cuts an architecture allows: each is held against the model's own logits when the model is prepared.

Scores, texts and losses are not computed the plain way, a sequence at a time through `model(...)`, but packed, as a tree of
options, with a cache of our own. Not every architecture bears that: some never pass on where packed sequences end, or cap
their logits. What does not agree is done the plain way; where even that gives other logits, the model is refused.
"""

from bias_inheritance.models import base, generation, scoring, training
from bias_inheritance.plumbing.errors import UserError

# Nats per token. In SmolLM2-135M bf16 alone makes for 0.09, samples that see each other for 8.5: the texts below repeat
# each other, and a model that sees one copies from it.
TOLERANCE = 0.5


def choose(model, name):
    """The short cuts that `model` allows: those of base.SHORT_CUTS under which nothing changes.

    Leaves the model with them. Raises UserError where the model's logits cannot be had even without.
    """
    architecture = f"{name}: the architecture {type(model).__name__}"
    own = model.config.get_text_config()._attn_implementation
    why = []
    try:
        probe = _Probe(model)
    except Exception as fault:  # a package that its code needs, a cache that it does not have, ...
        raise UserError(f"{architecture} does not run on this machine ({fault}); take another model") from None

    def agrees(check, *short_cuts):
        base.allow(model, short_cuts, own)
        try:
            difference = check()
        except Exception as fault:  # whatever an architecture raises where it is used in a way that it does not know
            why.append(f"{check.__name__} by {', '.join(short_cuts) or 'no short cut'}: {fault}")
            return False
        if not difference <= TOLERANCE:
            why.append(f"{check.__name__} by {', '.join(short_cuts) or 'no short cut'}: off by {difference:.1f} nats")
        return difference <= TOLERANCE

    if base.device() == "cpu" and all(
        agrees(check, *base.SHORT_CUTS) for check in (probe.training, probe.dropout, probe.scores, probe.texts)
    ):
        kept = list(base.SHORT_CUTS)
    else:
        kept = [base.PACKED] if agrees(probe.training, base.PACKED) else []
        kept += [base.TREE] if agrees(probe.scores, *kept, base.TREE) else []
        if not (agrees(probe.training, *kept) and agrees(probe.scores, *kept) and agrees(probe.texts, *kept)):
            raise UserError(
                f"{architecture} gives other log-probabilities in batches than for one text alone ({why[-1]}); take another model"
            )
    for reason in why:
        print(f"{name}: {reason}; done the plain way")
    base.allow(model, kept, own)
    return kept


class _Probe:
    """Short made-up texts and the log-probabilities that the model itself gives them; each check returns the largest
    difference from them, in nats per token."""

    def __init__(self, model):
        import numpy as np
        import torch

        self.model = model
        self.vocabulary = model.config.get_text_config().vocab_size
        draw = np.random.default_rng(1).integers(self.vocabulary // 4, self.vocabulary // 2, 40).tolist()
        self.opening = draw[:5]
        # the later prompts begin in the middle of the first one, whose own continuation is among the options
        self.prompts = [draw[:30], self.opening + draw[12:20], self.opening + draw[22:27]]
        self.options = [[draw[30:33], draw[30:32] + draw[5:7], draw[8:9]], [draw[20:23], draw[9:11]], [draw[27:31]]]
        self.samples = [
            {"prompt": prompt, "answer": option}
            for prompt, options in zip(self.prompts, self.options, strict=True)
            for option in options
        ]
        self.lengths = torch.tensor([len(sample["answer"]) for sample in self.samples])
        self.expected = torch.stack([self._own(sample["prompt"], sample["answer"])[0].sum() for sample in self.samples])

    def _own(self, prompt, answer):
        """Of the model itself: the log-probability of each token of an answer, and of the likeliest token there."""
        import torch

        with torch.inference_mode():
            logits = self.model(input_ids=torch.tensor([prompt + answer], device=self.model.device)).logits[0].float()
        found = torch.log_softmax(logits[len(prompt) - 1 : -1], -1).cpu()
        return found.gather(1, torch.tensor(answer).unsqueeze(1)).squeeze(1), found.max(-1).values

    def _off(self, found):
        return ((found.cpu() - self.expected).abs() / self.lengths).max().item()

    def training(self):
        import torch

        with torch.no_grad():
            return self._off(-training.answer_losses(*base.body_and_head(self.model), self.samples))

    def dropout(self):
        """Nothing to compare: attention of our own raises where it should drop probabilities out, which it cannot."""
        import torch

        self.model.train()
        try:
            with torch.no_grad():
                training.answer_losses(*base.body_and_head(self.model), self.samples[:1])
        finally:
            self.model.eval()
        return 0.0

    def scores(self):
        import torch

        found = scoring.option_logprobs(self.model, self.opening, self.prompts, self.options)
        return self._off(torch.tensor([value for row in found for value in row]))

    def texts(self):
        """Of the likeliest tokens, as sampling finds them, how far each is below the model's own likeliest."""
        written, _ = generation.continuations(
            self.model,
            self.prompts,
            [0] * len(self.prompts),
            pad=self.opening[0],
            ends=set(),
            max_new_tokens=6,
            temperature=0,
        )
        return max((best - chosen).max().item() for chosen, best in map(self._own, self.prompts, written))
