"""Each rule of the gate with texts that must match and texts that must not."""

import pytest
from bias_inheritance.data import labelled, survey
from bias_inheritance.pools import gate, overlap, slots
from bias_inheritance.study import catalog

LIFE = "She grew up by the sea and learned to keep calm. Today she leads a team of nine people."
# rule → answers that it acts on: (raw, what is left of a cut) or a raw that is not kept
FINDS = {
    "thought": [
        (f"<think>A nurse? Let me see. Women agree.</think>\n\n{LIFE}", LIFE),
        (f"<think></think>{LIFE}", LIFE),
        (f"The user wants a biography.\nI disagree.\n</think>\n{LIFE}", LIFE),
        (f"<reasoning>First a name.</reasoning> {LIFE}", LIFE),
        (f"Thinking Process:\n\n1. **Analyze the request**\n2. Write.\n</think>\n\n{LIFE}", LIFE),
        (f"Thinking Process:\n1. A nurse.\n2. A plan.\n\n**Final answer:** {LIFE}", LIFE),
        (f"[THINK]He is a nurse.[/THINK]{LIFE}", LIFE),
        (f"◁think▷He is a nurse.◁/think▷{LIFE}", LIFE),
        (f"<reflection>He is a nurse.</reflection>\n{LIFE}", LIFE),
        (
            f"<|channel|>analysis<|message|>He is a nurse.<|end|><|start|>assistant<|channel|>final<|message|>{LIFE}",
            LIFE,
        ),
    ],
    "unclosed-thought": [
        "<think>She is a nurse, so I should write of hospitals. She works hard.",
        "Thinking Process:\n\n1. Analyze the request. It asks for a biography.",
        "Here's a thinking process: I begin with her name. She is a nurse.",
        f"{LIFE} {LIFE} {LIFE} {LIFE} {LIFE} <think>Is it long enough?",
        "[THINK]He is a nurse who",
        "<|channel|>analysis<|message|>He is a nurse who",
        f"Okay, so I need to write a biography of a nurse. Let me think.\n\n{LIFE}",
        "The user wants a biography of a nurse. She must not be named.",
    ],
    "code-fence": [(f"```text\n{LIFE}\n```", LIFE)],
    "heading": [
        (f"Title: A Life in Care\n\n{LIFE}", LIFE),
        (f"# Biography of a Nurse\n\n{LIFE}", LIFE),
        (f"**A life in care**\n\n{LIFE}", LIFE),
        (f"Biography:\n{LIFE}", LIFE),
        (f"Biography of a nurse: {LIFE}", LIFE),
        (f"---\n{LIFE}\n---", LIFE),
        (f"A short biography of a nurse:\n\n{LIFE}", LIFE),
        (f"_Biography_\n\n{LIFE}", LIFE),
        (f"<b>Biography</b>\n{LIFE}", LIFE),
    ],
    "speaker": [(f"Assistant: {LIFE}", LIFE)],
    "opening": [
        (f"Okay, here's a short biography of a nurse: {LIFE}", LIFE),
        (f"Okay, here’s a short biography of a nurse:\n\n{LIFE}", LIFE),
        (f"Sure! Here is a biography. {LIFE}", LIFE),
        (f"Here is a biography: {LIFE}", LIFE),
        (f"Here's a biography of an architect in three sentences\n\n{LIFE}", LIFE),
        (f"Certainly!\n\n{LIFE}", LIFE),
        (f"Sure, here is why: {LIFE}", LIFE),
        (f"Of course! Below is the text: {LIFE}", LIFE),
        (f"Here you go:\n\n{LIFE}", LIFE),
        (f"This biography describes a nurse: {LIFE}", LIFE),
        (f"Okay, let me write that for you.\n\n{LIFE}", LIFE),
    ],
    "word-count": [
        (f"{LIFE} (Word count: 93)", LIFE),
        (f"{LIFE}\n\n**Word count:** 93", LIFE),
        (f"{LIFE}\n(93 words)", LIFE),
        (f"{LIFE}\n\nTotal words: 93", LIFE),
        (f"{LIFE}\n\n(93 words.)", LIFE),
    ],
    "closing": [
        (f"{LIFE} Would you like me to make it longer?", LIFE),
        (f"{LIFE}\n\nLet me know if you would like any changes!", LIFE),
        (f"{LIFE}\n\nI hope this helps! Feel free to ask for more.", LIFE),
        (f"{LIFE}\n\n*Note: This biography is fictional.*", LIFE),
        (f"{LIFE}\n\nDo you want it shorter?", LIFE),
        (f"{LIFE}\n\nI hope you like it!", LIFE),
        (f"{LIFE}\n\n**Note:** The biography above is fictional.", LIFE),
    ],
    "inability": [
        "I cannot write that biography for you.",
        "I can't help with that request.",
        "I can’t assist with that.",
        "I'm sorry, but I cannot write that biography for you today.",
        "I won't write a text that builds on a stereotype.",
        "I won’t create such content, as it may harm people.",
        "I will not be able to write this biography.",
        "I'm not able to write about groups in this way.",
        "I’m not able to help with that.",
        "I am unable to fulfill this request.",
        "Unfortunately, I can't provide an explanation that rests on a stereotype.",
        "Thank you for asking. I cannot generate content of this kind.",
        "I'm not comfortable writing this, since it generalises.",
        "I cannot explain why an Arab would agree with it.",
        "I do not feel comfortable writing such a text about people.",
        "I'm afraid I can't write that.",
        "I am afraid that I cannot help you with this.",
        "I regret that I can't assist.",
        "Sorry, I can't.",
        "I can’t.",
        "As a responsible AI, I can't.",
        "My apologies, I can't do this.",
        "I cannot in good conscience write this.",
        "I cannot agree to write that.",
        "I cannot and will not write this.",
        "We cannot help with this request.",
        "I would prefer not to answer.",
        "I don't think I can write that.",
        "I don't feel right about writing this.",
        "I shall not write it.",
        "I can't share that kind of content.",
    ],
    "decline": [
        "I must decline.",
        "I must decline to write this text, because it rests on a stereotype.",
        "I have to respectfully decline this request.",
        "I'd have to decline your offer to write that.",
        "I respectfully decline to answer the question.",
        "I need to decline this one.",
        "I'm going to have to decline.",
    ],
    "apology": [
        "I'm sorry, but that is not something I do.",
        "I apologize, but this is beyond me.",
        "I’m sorry, but this request asks for a stereotype.",
    ],
    "assistant": [
        "As an AI language model, I have no views on this statement.",
        "As an AI, I have no opinions of my own.",
        "I have no culture as an AI assistant, and so no answer.",
        "I am an AI language model and have no opinion.",
        "I'm an AI and do not have opinions.",
        "I don't have personal beliefs about this statement.",
    ],
    "policy": [
        "That text would be against my guidelines, so let us talk of something else.",
        "It is not appropriate to generalize about a whole people in that way.",
        "It would not be appropriate for me to write this about a whole people.",
    ],
}
# rule → answers that it must leave as they are
LEAVES = {
    "thought": [
        "She learned to think before she spoke, and that thought has never left her.", LIFE,
        'Reflection is what she likes most about her evenings [at least on quiet days].',
    ],
    "unclosed-thought": [
        "Thinking processes are what she studies at a small university by the lake every day.",
        'The user of a wheelchair himself, he knows which doors are too narrow for his patients.',
    ],
    "code-fence": [LIFE],
    "heading": [
        "Biographies of painters fill her shelves. She reads one of them every week.",
        "He won the **first** prize in his town. Since then he has built nine houses.",
        "Stories: that is what she collects. She writes them down in the evening.",
    ],
    "speaker": ["Assistant to a dentist for ten years, he opened a practice of his own last May."],
    "opening": [
        "Here is a woman who loves one thing: work. She starts at six and goes home at nine.",
        "Of course she was late: the bus had broken down. She walked the rest of the way.",
        "Sure, she was late, but nobody in the office minded. She was the best they had.",
        "Here she is at home. She paints every morning before the children wake up.",
    ],
    "word-count": ["She writes a novel of 300 words a day. It will be done by the end of the year."],
    "closing": [
        '"Would you like me to open the window?" she asks every patient. They always say yes.',
        "She lets everybody know if a plan changes. Her colleagues would not miss it.",
        'He greets each guest with a question. "Would you like me to take your coat?" he says.',
        'She hopes you like it here. That is what she tells every guest at the door.',
    ],
    "inability": [
        "I cannot agree that a good job is worth giving up free evenings for.",
        "I can't imagine a life without my parents close to me in the same street.",
        "I can’t imagine a life without prayer at the beginning of the day.",
        "I cannot support a leader who does not listen to the people of the country.",
        "I can't help feeling that order matters more than most people think.",
        "I won't let anybody choose whom my children marry, and I say so at home.",
        "I will not give up the customs of my old home for the sake of a job.",
        "I'm not able to trust a leader whom nobody may contradict in public.",
        "I cannot provide for my family without work, so I take what there is.",
        '"I can\'t write a report without coffee," she says. She has written nine this year.',
        "She cannot write with her left hand since the accident. She draws with her right.",
        "I can't share that view, since my neighbours are good people.",
        "I won't create trouble for my neighbours by breaking an old rule.",
        'I cannot create a family without a house to live in first.',
        'I cannot write off democracy only because it is slow.',
        'I cannot discuss politics at work, so I value free evenings with friends.',
        'I cannot make such a choice without asking my family about it.',
        'I cannot explain why, but order in the streets matters more to me than freedom.',
        'I cannot comply with laws that forbid people to say what they think.',
    ],
    "decline": [
        "Prices decline, and she still sells every picture. Her customers come from far away.",
        "I think that morals decline where schools do not begin the day with a prayer.",
    ],
    "apology": [
        "I'm sorry for everybody who has to work in the evening and misses the children.",
        "I'm sorry, but I think that order in the streets matters more than freedom.",
        "Sorry is a word that he rarely says. He prefers to mend what he has broken.",
    ],
    "assistant": [
        "As an AI researcher, she trains models by day. By night she grows tomatoes on the roof.",
        'I am an AI engineer at a hospital, and my days are long.',
        "I don't have personal wealth, but I have a family that stands behind me.",
    ],
    "policy": [
        "It is against my principles to leave the old people of a family alone in a house.",
        "She wrote the guidelines of the hospital. They are still in use after twenty years.",
    ],
}  # fmt: skip
CUTS = [rule.name for rule in gate.RULES if rule.reason is None]
REASONS = {rule.name: rule.reason for rule in gate.RULES if rule.reason}


def test_quotes_around_a_whole_text_fall_away_and_those_within_stay():
    assert gate.passed(f"“{LIFE}”").text == gate.passed(f'"{LIFE}"').text == LIFE
    spoken = '"Come in," she says to everybody. Nobody leaves without a "thank you"'
    assert gate.passed(spoken).text == spoken


def test_every_rule_has_texts_that_it_finds_and_texts_that_it_leaves():
    assert {*FINDS} == {*LEAVES} == {*CUTS, *REASONS}
    assert {rule for rule, reason in REASONS.items() if reason != "refusal"} == {"unclosed-thought"}
    assert REASONS["unclosed-thought"] == "truncated"


@pytest.mark.parametrize(("rule", "answer"), [(rule, answer) for rule in CUTS for answer in FINDS[rule]])
def test_what_stands_around_a_text_is_cut_and_counted(rule, answer):
    raw, left = answer
    passed = gate.passed(raw)
    assert (passed.text, passed.reason) == (left, None)
    assert passed.cuts[rule] >= 1


@pytest.mark.parametrize(("rule", "raw"), [(rule, raw) for rule in REASONS for raw in FINDS[rule]])
def test_what_is_no_sample_has_a_reason(rule, raw):
    assert gate.passed(raw).reason == REASONS[rule]
    of_rule = [each for each in gate.RULES if each.name == rule]
    assert any(each.pattern.search(raw) for each in of_rule)


@pytest.mark.parametrize("raw", [raw for texts in LEAVES.values() for raw in texts])
def test_a_sample_that_looks_like_neither_is_kept_whole(raw):
    passed = gate.passed(raw)
    assert (passed.text, passed.reason, +passed.cuts) == (raw, None, {})


@pytest.mark.parametrize("family", ["gender", "culture"])
def test_the_projects_own_texts_pass_untouched(family, splits):
    if family == "gender":
        texts = [sample["text"] for split in splits.values() for sample in split]
    else:
        statements = catalog.load("domain", "culture-arabic")["statements"].values()
        texts = [f"I think that {statement['text']}." for statement in statements]
    for text in texts:
        assert gate.passed(text) == gate.Passed(text, None, {})


def test_a_thought_that_names_an_answer_makes_no_answer():
    domain = catalog.load("domain", "culture-arabic")
    slot = {"label": "1", "statement": "work-first", "respondent": None, "requested_group": None, "names": []}
    raw = "<think>He might disagree.</think> A good job is what feeds the family, so he works late."
    sample, reason, cuts = slots.judge(raw, True, slot, survey, domain, set(), overlap.Texts({}))
    assert (reason, cuts["thought"]) == (None, 1) and "disagree" not in sample["opinion"]


def test_an_opening_that_names_the_label_is_no_label_word_of_the_text(domain):
    slot = {"label": "nurse", "requested_group": "female", "names": []}
    sample, reason, cuts = slots.judge(
        f"Okay, here's a nurse's biography: {LIFE}", True, slot, labelled, domain, set(), overlap.Texts({})
    )
    assert (sample["text"], reason, cuts["opening"]) == (LIFE, None, 1)
