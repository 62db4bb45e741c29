"""A model's chat template: rendering of prompts, and the form of answers in training, scoring and sampling."""

import itertools
import re
from datetime import datetime

from bias_inheritance.plumbing.errors import UserError

TEMPLATE_DATE = "26 Jul 2024"  # ASSUME: the default date of Llama 3.1's template
# variables of all templates: the two switch thinking off, the second one in those of Granite and DeepSeek
VARIABLES = {"enable_thinking": False, "thinking": False, "date_string": TEMPLATE_DATE}
QUESTION, PROBE = "x", "Perhaps"  # PROBE: an answer that no template contains


class Chat:
    """Renders a model's chat template: user text to prompt tokens, and an answer to its tokens.

    Thinking is switched off if the template has a switch (`enable_thinking`, `thinking`), and dates are fixed. system: a
    system prompt, "" for an empty one, None for the template's default. end: the token that ends an answer.
    Raises UserError for unsupported templates; the message names the key `system` if changing it helps.
    """

    def __init__(self, tokenizer, system=None):
        self.tokenizer, self.template = tokenizer, fixed_template(tokenizer)
        self.opening = [] if system is None else [{"role": "system", "content": system}]
        prompt, shown = self._render_probes(system)
        self.before, text, after = shown.removeprefix(prompt).partition(PROBE)
        if not shown.startswith(prompt) or not text or self.before.strip():
            raise UserError(
                f"the chat template opens an answer with {prompt[-40:]!r} when it is written and shows it as {shown[-80:]!r} afterwards, as templates of models that think first do; answers cannot be trained or scored with it: use another model"
            )
        self.after, self.end = self._ending(after)
        alone = self.prompt(QUESTION) + self._alone(PROBE)[:-1]
        # SentencePiece marks the first word of a text, which an answer is not if ordinary text precedes it
        self.in_place = self._ids(_turns(QUESTION, PROBE))[: len(alone)] != alone
        self.answer(PROBE)  # refused here, not by a later job

    def prompt(self, user):
        """Token ids of the conversation up to the start of the assistant's answer."""
        return self._ids(_turns(user), add_generation_prompt=True)

    def opening_tokens(self):
        """Token ids of the common prefix of all conversations."""
        return shared_beginning([self.prompt("a"), self.prompt("1")])

    def answer(self, text):
        """Token ids of an answer with the token that ends the turn, as in a conversation."""
        return self._in_place(text.strip()) if self.in_place else self._alone(text.strip())

    def _alone(self, text):
        """The tokens of an answer without the conversation before it."""
        return self._tokens(self.before + text, split_special_tokens=True) + self._tokens(self.after)

    def _in_place(self, text):
        """The tokens by which a conversation with an answer is longer than its prompt, up to the end of the turn."""
        prompt, whole = self.prompt(QUESTION), self._ids(_turns(QUESTION, text))
        if whole[: len(prompt)] != prompt:
            raise UserError(
                f"the tokenizer joins the beginning of the answer {text[:20]!r} to the end of its prompt, so that it cannot be scored: use another model"
            )
        return [*itertools.takewhile(lambda token: token != self.end, whole[len(prompt) :]), self.end]

    def _render_probes(self, system):
        """A conversation up to the assistant's answer, and the same with the answer PROBE."""
        import jinja2

        try:
            prompt = self._apply(_turns(QUESTION), add_generation_prompt=True)
            shown = self._apply(_turns(QUESTION, PROBE))
        except (jinja2.TemplateError, TypeError) as fault:
            reason, remedy = " ".join(str(fault).split()), "use another model" if system is None else "set system: null"
            raise UserError(f"the chat template fails ({reason}); {remedy}") from None
        if system and system.strip() not in prompt:
            raise UserError("the chat template leaves out a system prompt; set system: null")
        return prompt, shown

    def _ending(self, after):
        """(text between an answer and the token that ends it, that token's id), as written by the template.

        If the template writes nothing, the tokenizer's end token ends an answer.
        """
        special = self.tokenizer.added_tokens_decoder
        for token in self._tokens(after):
            if token in special:
                text = special[token].content
                return after[: after.index(text)] + text, token
        if after.strip():
            raise UserError(
                f"the chat template ends an answer with the text {after[:40]!r}, not with a special token, so that samples would not end; use another model"
            )
        return self.tokenizer.eos_token, self.tokenizer.eos_token_id

    def _tokens(self, text, **options):
        return self.tokenizer(text, add_special_tokens=False, **options)["input_ids"]

    def _ids(self, turns, **options):
        """Token ids of a conversation, in which "<|im_end|>" in a text does not end its turn."""
        return self._apply(turns, tokenize=True, return_dict=False, sanitize_control_tokens=True, **options)

    def _apply(self, turns, tokenize=False, **options):
        return self.tokenizer.apply_chat_template(
            [*self.opening, *turns],
            tokenize=tokenize,
            chat_template=self.template,
            **VARIABLES,
            **options,
        )


def _turns(*texts):
    """A conversation: texts of the user and of the assistant, in turn."""
    return [{"role": role, "content": text} for role, text in zip(("user", "assistant"), texts, strict=False)]


def fixed_template(tokenizer):
    """A tokenizer's chat template with TEMPLATE_DATE instead of today's date, on which no result may depend.

    transformers does not allow passing functions to a template, so calls of `strftime_now` are replaced in its text.
    """
    try:
        template = tokenizer.get_chat_template()
    except ValueError as fault:
        raise UserError(f"{str(fault).split('. ')[0]}; use the model's instruct version") from None
    date = datetime.strptime(TEMPLATE_DATE, "%d %b %Y")
    fixed = re.sub(
        r"strftime_now\(\s*(?:format\s*=\s*)?(['\"])(.*?)\1\s*\)", lambda call: repr(date.strftime(call[2])), template
    )
    if "strftime_now(" in fixed:
        raise UserError("the chat template prints today's date in a way that cannot be fixed; use another model")
    return fixed


def shared_beginning(lists):
    """The common prefix of all lists."""
    columns = zip(*lists, strict=False)
    return [column[0] for column in itertools.takewhile(lambda column: len(set(column)) == 1, columns)]
