"""A wrong configuration is refused at the start, one clear line per error."""

import copy
import shutil

import pytest
import yaml
from bias_inheritance.plumbing.errors import UserError
from bias_inheritance.study import catalog, checks, grid, schema
from write_config import write_config


@pytest.fixture
def config(root):
    return yaml.safe_load((root / "config.yaml").read_text())


def lines(config):
    with pytest.raises(UserError) as caught:
        checks.check(config, [("config.yaml", config)])
    return str(caught.value).splitlines()


def changed(config, path, value):
    made = copy.deepcopy(config)
    *keys, last = path
    node = made
    for key in keys:
        node = node[key]
    node[last] = value
    return made


@pytest.mark.parametrize(
    ("path", "value", "expected"),
    [
        (["grid", "gamma"], [0, 0.5, 1.5], "config.yaml: grid.gamma[2]: 1.5 is not below 1"),
        (["grid", "gamma"], [0, -0.1], "config.yaml: grid.gamma[1]: -0.1 is below 0"),
        (["grid", "gamma"], [0, 0.5, 0.5], "config.yaml: grid.gamma: 0.5 is listed twice; remove one"),
        (
            ["grid", "gamma"],
            [0.5],
            "config.yaml: grid.gamma: add 0.00: every augmented cell is compared with the cell `original` at γ = 0",
        ),
        (["grid", "gamma"], 0.5, "config.yaml: grid.gamma: 0.5 is a number, not a list; write [0.5]"),
        (["grid", "seeds"], [1], "config.yaml: grid.seeds: unknown key (did you mean 'seed'?)"),
        (
            ["finetune", "learning_rate"],
            "2e-4",
            "config.yaml: finetune.learning_rate: '2e-4' is text, not a number; YAML reads it as a number when written 2.0e-4",
        ),
        (["grid", "gamma"], [0, 0.055], "config.yaml: grid.gamma[1]: 0.055 has more than two decimals"),
        (["grid", "gamma"], [0, float("nan")], "config.yaml: grid.gamma[1]: nan is not finite"),
        (["originals"], 48.0, "config.yaml: originals: 48.0 is a number, not a whole number"),
        (["originals"], 10**400, "config.yaml: originals: a number of 1329 bits is above 1000000"),
        (["study"], "demo\n", "config.yaml: study: 'demo\\n' is not a valid folder name"),
        (["originals"], True, "config.yaml: originals: True is true or false, not a whole number"),
        (
            ["finetune"],
            {"learning_rate_multiplier": "much"},
            "config.yaml: finetune.learning_rate_multiplier: 'much' is not allowed; use a number above 0, or auto",
        ),
        (
            ["finetune"],
            {"learning_rate_multiplier": 2},
            "config.yaml: finetune.learning_rate_multiplier: the training of smollm2-135m-instruct has no such setting; it has",
        ),
        (["study"], "../elsewhere", "config.yaml: study: '../elsewhere' is not a valid folder name"),
    ],
)
def test_one_fault_one_line(config, path, value, expected):
    errors = lines(changed(config, path, value))
    assert len(errors) == 1
    assert errors[0].startswith(expected)


@pytest.mark.parametrize(
    ("axis", "name", "near"),
    [
        ("bias", "contrastive-explict", "did you mean 'contrastive-explicit'?"),
        ("task", "hireing", "did you mean 'hiring'?"),
        ("mitigation", "los", "did you mean 'loss'?"),
        ("model", "qwen-2.5-7b-instruct", "did you mean 'qwen2.5-7b-instruct'?"),
        ("domain", "gendr", "did you mean 'gender'?"),
    ],
)
def test_a_name_without_a_file_is_refused_with_the_names_that_exist(config, axis, name, near):
    errors = lines(changed(config, ["grid", axis], [name]))
    assert any(f"config.yaml: grid.{axis}[0]: no file catalog/" in line and near in line for line in errors)


@pytest.mark.parametrize("gamma", [0.07, 0.14, 0.28, 0.29, 0.47, 0.57, 0.94])
def test_every_gamma_of_two_decimals_is_taken(config, gamma):
    configuration = changed(changed(config, ["grid", "gamma"], [0, gamma]), ["grid", "bias"], ["neutral"])
    checks.check(configuration, [("config.yaml", config)])


@pytest.fixture
def catalog_copy(root, tmp_path, monkeypatch):
    """A copy of the catalog that a test may change."""
    shutil.copytree(root / "catalog", tmp_path / "catalog")
    monkeypatch.setattr(catalog, "ROOT", tmp_path)
    monkeypatch.setattr(catalog, "CATALOG", tmp_path / "catalog")
    catalog.load.cache_clear()
    yield tmp_path / "catalog"
    catalog.load.cache_clear()


@pytest.mark.parametrize(
    ("file", "old", "new", "told"),
    [
        ("biases/contrastive-explicit", "source: generated\n", "", "source: missing; add it (where samples come from: "),
        ("biases/neutral", "prompt:", "promt:", "promt: unknown key (did you mean 'prompt'?)"),
        ("biases/planted-100", "plant: 1.00", "plant: 50", "plant: 50 is above 1"),
        ("biases/planted-100", "source: reserve", "source: original", "source: 'original' is not one of generated, "),
        ("models/smollm2-135m-instruct", "finetune:", "finetuning:", "finetuning: unknown key (did you mean 'finetune'?)"),
        ("models/smollm2-135m-instruct", "  rank: 16\n", "", "finetune: lacks 'rank'"),
        ("models/qwen2.5-7b-instruct", "  revision:", "  revisoin:", "source.revisoin: unknown key (did you mean 'revision'?)"),
        ("models/qwen2.5-7b-instruct", "  hub:", "  hup:", "source: lacks one of package, hub, random, api; add one of them"),
        ("models/gpt-4o-mini", "concurrency: 8", "concurrency: many", "service.limits.concurrency: 'many' is text, not a whole"),
        ("models/tiny-random", "tokenizer_of: smollm2-135m-instruct", "tokenizer_of: smollm2-135m",
         "source.tokenizer_of: no file catalog/models/smollm2-135m.yaml (did you mean 'smollm2-135m-instruct'?)"),
        ("models/smollm2-135m-instruct", "form: {cpu: dequantised, cuda: packed}", "form: plain",
         "form: plain means weights that were never quantised, and those of a GGUF file were; use {cpu: dequantised"),
        ("biases/associated-100", "later_rounds: neutral", "later_rounds: neutrl", "later_rounds: 'neutrl' is not a generated pool, or is a probe (did you mean 'neutral'?)"),
        ("biases/associated-100", "later_rounds: neutral", "later_rounds: subliminal-100", "later_rounds: 'subliminal-100' is not a generated pool, or is a probe"),
        ("biases/neutral", "role: natural", "role: natural\nlater_rounds: neutral", "later_rounds: applies to copied texts only"),
        ("mitigations/loss", "loss:", "los:", "los: unknown key (did you mean 'loss'?)"),
        ("mitigations/loss", "title: Loss (distributions)\n", "", "title: missing; add it"),
        ("tasks/salary", "relation: direct\n", "", "relation: missing; add it (relation to the bias)"),
        ("tasks/salary", "kind: salary", "kind: salery",
         "kind: no module 'salery' with `score` in scripts/bias_inheritance/tasks (did you mean 'salary'?)"),
        ("tasks/hiring", "position_limit: 0.75", "", "position_limit: missing; add it"),
        ("tasks/spam", "domain: culture-arabic", "domain: culture-arabia",
         "datasets.spamdetect.domain: no file catalog/domains/culture-arabia.yaml (did you mean 'culture-arabic'?)"),
        ("domains/gender", "family: labelled", "family: labeled",
         "family: no module 'labeled' with `slot` in scripts/bias_inheritance/data (did you mean 'labelled'?)"),
        ("domains/gender", "hiring, salary,", "hireing, salary,",
         "tasks[1]: no file catalog/tasks/hireing.yaml (did you mean 'hiring'?)"),
        ("domains/gender", "title: Biographies and gender", "extends: nope",
         "extends: 'nope' is not another file of catalog/domains; available: culture-arabic"),
        ("domains/gender", "title: Biographies and gender", "extends: ../biases/neutral",
         "extends: '../biases/neutral' is not another file of catalog/domains; available: culture-arabic"),
        ("domains/gender", "{text}\\n\\nOccupation:", "{texts}\\n\\nOccupation:", "prompt: nothing fills {texts} (did you mean 'text'?)"),
        ("domains/gender", 'answer: "{label}"', 'answer: "{label}}"', "answer: '{label}}' has an unbalanced brace; write {{ or }}"),
        ("domains/gender", "architect: male, dentist", "architect: men, dentist", "associated_groups.architect: 'men' is not one of male, female"),
        ("domains/gender", "architect: male, dentist", "dentist", "associated_groups.architect: must name a group for each of architect, dentist, "),
        ("domains/gender", "{architect: male, dentist: female, nurse: female, painter: female, professor: male, software engineer: male}",
         "{architect: male, dentist: male, nurse: male, painter: male, professor: male, software engineer: male}",
         "associated_groups: assigns all labels to one group, so no group follows a label"),
        ("domains/gender", "planted_label: nurse", "planted_label: nurses", "planted_label: 'nurses' is not one of architect, dentist, nurse, "),
        ("domains/gender", "contrasts: {reference: male, compared: female}", "contrasts: {reference: male, compared: femal}",
         "contrasts.compared: 'femal' is not one of male, female, rest"),
        ("domains/gender", "groups:\n  male:", "groups:\n  other: {noun: person}\n  male:",
         "groups.other.forms: missing; add {placeholder: word} for the placeholders of data.twins"),
        ("domains/gender", "data: {twins:", "data: {twin:", "data.twin: unknown key (did you mean 'twins'?)"),
        ("domains/gender", "names: {gender: male}", "names: {gender: mail}", "groups.male.names: resources/names.csv has no matching names"),
        ("domains/gender", "neutral_noun: specialist\n", "neutral_noun: specialist\nlabel_word: {}\n", "label_word: unknown key (did you mean 'label_words'?)"),
        ("domains/gender", "  nurse: [nurse, ", "  nurses: [nurse, ", "label_words.nurses: 'nurses' is not one of the domain's labels"),
        ("domains/gender", "cultures: {arabic:", "cultures: {arab:", "cultures.arab: resources/names.csv has no names of it"),
        ("biases/subliminal-000", "extends: subliminal-100", "extends: subliminal-100\nrole: natural", "role: natural does not allow topics; use probe"),
        ("biases/subliminal-100", "source: generated", "source: reserve", "role: probe needs topics, tuned_on and "),
        ("biases/shifted", "shift: true", "shift: false", "shift: False is not one of True"),
        ("tasks/hiring", "cultures: [arabic,", "cultures: [arab,", "cultures: resources/names.csv has no first names of arab and male"),
        ("tasks/hiring", "genders: [male,", "genders: [men,", "cultures: resources/names.csv has no first names of arabic and men"),
        ("tasks/hiring", "compared: female}", "compared: [female, women]}", "contrasts.compared: 'women' is not a group of the candidates; known: male, female, "),
        ("tasks/hiring", "compared: female}", "compared: all}", "contrasts.compared: 'all' is not a group of the candidates"),
        ("tasks/story-generation", "chinese,", "korean,", "cultures: resources/names.csv has no first names of korean and male"),
        ("tasks/salary", "  {text}", "  {texts}", "prompt: nothing fills {texts} (did you mean 'text'?)"),
        ("tasks/spam", "  spamdetect:", "  ../spamdetect:", "datasets.../spamdetect: '../spamdetect' is not a valid folder name"),
        ("tasks/spam", "positive: [Spam]", "positive: [spam]", "datasets.spamdetect.positive[0]: 'spam' is not one of its labels (did you mean 'Spam'?)"),
    ],
)  # fmt: skip
def test_a_slip_in_a_file_of_the_catalog_is_one_line_that_names_it(config, catalog_copy, file, old, new, told):
    path = catalog_copy / f"{file}.yaml"
    text = path.read_text()
    assert old in text
    path.write_text(text.replace(old, new))
    errors = lines(changed(config, ["grid", "mitigation"], ["none", "mask", "loss"]))
    assert any(line.startswith(f"catalog/{file}.yaml: {told}") for line in errors), errors
    assert all(line.startswith(f"catalog/{file}.yaml: ") for line in errors)


def test_two_baselines_for_one_way_of_naming_groups_are_refused(config, catalog_copy):
    shutil.copy(catalog_copy / "biases" / "balanced.yaml", catalog_copy / "biases" / "even.yaml")
    config["grid"] |= {"bias": ["contrastive-explicit", "balanced", "even"], "mitigation": ["none"]}
    assert lines(config) == [
        "config.yaml: grid.bias[2]: even names groups in the same way as balanced, and bias types have one baseline; remove one of them"
    ]


def test_files_that_extend_each_other_are_refused(config, catalog_copy):
    path = catalog_copy / "domains" / "gender.yaml"
    path.write_text("extends: gender-bias-in-bios\n" + path.read_text())
    assert lines(config) == [
        "catalog/domains/gender-bias-in-bios.yaml: extends: gender extends this file in turn; remove `extends` from one of them"
    ]


def test_a_fault_is_blamed_on_the_file_that_a_domain_extends(config, catalog_copy):
    path = catalog_copy / "domains" / "base" / "culture.yaml"
    path.write_text(path.read_text().replace("topic: family,", "topic: families,", 1).replace("genders:", "sexes:"))
    assert lines(changed(changed(config, ["grid", "domain"], ["culture-arabic"]), ["grid", "task"], ["spam"])) == [
        "catalog/domains/base/culture.yaml: sexes: unknown key; known: "
        + ", ".join(sorted(schema.Survey.model_fields | schema.Labelled.model_fields)),
        "catalog/domains/culture-arabic.yaml: genders: missing; add it",
    ]


def test_groups_of_a_survey_need_first_names_and_stereotypes(config, catalog_copy):
    path = catalog_copy / "domains" / "culture-arabic.yaml"
    path.write_text(
        path.read_text()
        .replace("names: {culture: arabic}", "names: {culture: arab}")
        .replace("  arabic:\n", "  arab:\n")
    )
    told = lines(changed(changed(config, ["grid", "domain"], ["culture-arabic"]), ["grid", "task"], ["spam"]))
    file = "catalog/domains/culture-arabic.yaml"
    assert f"{file}: groups.arabic.names: resources/names.csv has no matching names" in told
    assert any(line.startswith(f"{file}: stereotypes: lacks arabic: faith, family") for line in told)


def test_answers_of_a_group_that_the_domain_does_not_have_are_refused(config, catalog_copy):
    path = catalog_copy / "domains" / "culture-arabic.yaml"
    path.write_text(path.read_text().replace("group: arabic}", "group: arab}"))
    config["grid"] |= {"domain": ["culture-arabic"], "task": ["spam"]}
    assert lines(config) == [
        "catalog/domains/culture-arabic.yaml: data.group: 'arab' is not one of the domain's groups (did you mean 'arabic'?)"
    ]


def test_a_group_that_the_twins_were_not_written_for_is_refused(config, catalog_copy):
    path = catalog_copy / "domains" / "gender.yaml"
    path.write_text(
        path.read_text().replace("groups:\n  male:", "groups:\n  other: {noun: person, forms: {he: they}}\n  male:")
    )
    config["grid"] |= {"bias": ["neutral"]}
    told = lines(config)
    assert told == [
        "config.yaml: grid.domain[0]: catalog/domains/gender.yaml: groups.other: the texts in resources/biographies/architect.jsonl and 11 more files were not written for it; add texts for the group, or remove it"
    ]


def test_a_group_whose_first_names_are_unknown_is_one_line(config, catalog_copy):
    path = catalog_copy / "domains" / "gender.yaml"
    path.write_text(path.read_text().replace("names: {gender: male}", "names: {gender: mail}"))
    assert lines(config) == [
        "catalog/domains/gender.yaml: groups.male.names: resources/names.csv has no matching names"
    ]


PROFESSIONS = """
extends: gender-bias-in-bios
data: {files: FILES, content: null}
labels: {0: accountant, 2: attorney, 13: nurse}
"""
OF_PROFESSIONS = """
associated_groups: {accountant: male, attorney: male}
label_words: {accountant: [accountant, accountants, accounting], attorney: [attorney, attorneys, lawyer]}
"""


def biographies(folder):
    """A folder with texts of four professions, by their numbers in BiasInBios."""
    import pandas as pd

    for split in ("train", "dev", "test"):
        rows = [
            {"hard_text": f"{split} {n} {n * n}", "profession": [0, 2, 13, 27][n // 2 % 4], "gender": n % 2}
            for n in range(96)
        ]
        pd.DataFrame(rows).to_parquet(folder / f"{split}-00000-of-00001.parquet")


def test_a_domain_with_other_labels_than_the_one_that_it_extends(config, catalog_copy, tmp_path):
    """Entries of labels that it does not list are not inherited; those of its labels that are missing are told."""
    biographies(tmp_path)
    path = catalog_copy / "domains" / "bios.yaml"
    path.write_text(PROFESSIONS.replace("FILES", str(tmp_path)))
    config["grid"] |= {
        "domain": ["bios"],
        "bias": ["balanced", "associated-100"],
        "task": ["occupation-classification"],
    }
    config |= {"originals": 24, "mitigated": []}
    assert lines(config) == [
        f"catalog/domains/bios.yaml: associated_groups.{label}: must name a group for each of accountant, attorney, nurse, and nothing else"
        for label in ("accountant", "attorney")
    ] + [
        f"catalog/domains/bios.yaml: label_words.{label}: missing; list the words that reveal this label, which generated texts must not contain"
        for label in ("accountant", "attorney")
    ]
    path.write_text(path.read_text() + OF_PROFESSIONS)
    catalog.load.cache_clear()
    checks.check(config, [("config.yaml", config)])
    bios = catalog.load("domain", "bios")
    assert bios["associated_groups"] == {"accountant": "male", "attorney": "male", "nurse": "female"}
    assert set(bios["stereotypes"]) == {"nurse"} and bios["planted_label"] == "nurse"
    # of labels that the parent does not have at all, nothing is inherited, and the default applies
    path.write_text(PROFESSIONS.replace("FILES", str(tmp_path)).replace("13: nurse", "27: yoga teacher"))
    catalog.load.cache_clear()
    checks.check(config, [("config.yaml", config)])
    bios = catalog.load("domain", "bios")
    assert not {"associated_groups", "label_words", "stereotypes", "planted_label"} & bios.keys()


def test_a_domain_without_texts_of_a_label_by_content_is_told_what_to_set(config, catalog_copy, tmp_path):
    biographies(tmp_path)
    path = catalog_copy / "domains" / "bios.yaml"
    text = PROFESSIONS.replace("FILES", str(tmp_path)).replace("13: nurse", "27: yoga teacher")
    path.write_text(text.replace(", content: null", ""))
    config["grid"] |= {"domain": ["bios"], "bias": ["balanced"], "task": ["stereotype-congruence"]}
    config |= {"originals": 24, "mitigated": []}
    (told,) = lines(config)
    assert told.endswith("accountant.jsonl and 2 more files, not found; add the files, or set data.content to null in catalog/domains/bios.yaml")  # fmt: skip
    path.write_text(text)
    catalog.load.cache_clear()
    assert lines(config) == [
        "config.yaml: grid.task: stereotype-congruence needs data.content, which catalog/domains/bios.yaml does not have; remove the task"
    ]


@pytest.mark.parametrize(
    ("file", "told"),
    [
        ("biases/my pool", "catalog/biases/my pool.yaml: 'my pool' cannot name a folder; rename the file: "),
        ("biases/überall", "catalog/biases/überall.yaml: 'überall' cannot name a folder; "),
        ("biases/original", "catalog/biases/original.yaml: the name original is reserved in tables and claims"),
        ("tasks/values", "catalog/tasks/values.yaml: the name values is reserved in tables and claims"),
    ],
)  # fmt: skip
def test_the_name_of_a_file_must_do_as_a_name_of_a_folder(config, catalog_copy, file, told):
    folder = file.split("/")[0]
    shutil.copy(next((catalog_copy / folder).glob("*.yaml")), catalog_copy / f"{file}.yaml")
    (line,) = lines(config)
    assert line.startswith(told)


@pytest.mark.parametrize("text", ["", "# nothing\n", "- a\n", "title\n"])
def test_an_empty_file_of_the_catalog_is_named(config, catalog_copy, text):
    (catalog_copy / "tasks" / "new.yaml").write_text(text)
    assert lines(config) == [
        "catalog/tasks/new.yaml: has no keys; see docs/extending.md for what it needs, or remove the file"
    ]


def test_a_bias_type_without_a_prompt_for_a_domain_is_named(config, catalog_copy):
    (catalog_copy / "biases" / "mine.yaml").write_text(
        "title: Mine\ndoes: x\nrole: natural\nsource: generated\nprompt: {survey: Say it}\n"
    )
    (line,) = lines(changed(config, ["grid", "bias"], ["neutral", "mine"]))
    assert line == (
        "config.yaml: grid.bias[1]: catalog/biases/mine.yaml has no prompt for the domain gender; add one named labelled, or gender"
    )


@pytest.mark.parametrize(
    ("pool", "told"),
    [
        ("role: positive-control\nsource: reserve", "role: positive-control needs a known effect; "),
        (
            "role: positive-control\nsource: originals\nplant: 1.0",
            "source: with originals, each relabelled text ",
        ),
        ("role: natural\nsource: originals", "source: unchanged copies of D_o are allowed for a negative-control only"),
        (
            "role: natural\nsource: generated\nprompt: {gender: Say it}\nassociate: 0.5",
            "associate: applies to copied texts only; ",
        ),
    ],
)
def test_a_pool_that_does_not_go_with_its_source_is_named(config, catalog_copy, pool, told):
    (catalog_copy / "biases" / "mine.yaml").write_text(f"title: Mine\ndoes: x\n{pool}\n")
    (line,) = lines(config)
    assert line.startswith(f"catalog/biases/mine.yaml: {told}")


def test_plain_copies_are_a_negative_control_and_associations_may_be_made_of_originals(config, catalog_copy):
    (catalog_copy / "biases" / "copies.yaml").write_text(
        "title: x\ndoes: x\nrole: negative-control\nsource: originals\n"
    )
    (catalog_copy / "biases" / "mine.yaml").write_text(
        "title: x\ndoes: x\nrole: positive-control\nsource: originals\nassociate: 1.0\n"
    )
    configuration = changed(config, ["grid", "bias"], ["neutral", "copies", "mine"])
    checks.check(configuration, [("config.yaml", configuration)])


@pytest.mark.parametrize(
    ("bias", "originals", "told"),
    [
        ("faithful", 120, None),
        ("faithful", 132, "faithful needs up to 11 samples of one label and group that are in no original; the reserve of gender has 10: "),
        ("associated-100", 60, None),
        ("associated-100", 66, "associated-100 needs up to 11 samples of one label and group "),
        ("associated-050", 84, "associated-050 needs up to 11 samples of one label and group "),
        ("associated-000", 120, None),
        ("planted-100", 132, "planted-100 needs up to 11 "),
    ],
)  # fmt: skip
def test_what_a_control_needs_of_the_reserve_is_told_before_a_run(config, bias, originals, told):
    configuration = changed(changed(config, ["originals"], originals), ["grid", "bias"], ["neutral", bias])
    if told is None:
        checks.check(configuration, [("config.yaml", configuration)])
    else:
        (line,) = lines(configuration)
        assert line.startswith(f"config.yaml: grid.bias[1]: {told}")


def test_a_planted_pool_that_relabels_nothing_is_told(config):
    config["grid"] |= {"gamma": [0, 0.05], "bias": ["neutral", "planted-050"]}
    (line,) = lines(changed(config, ["originals"], 48))
    assert line.startswith("config.yaml: grid.bias[1]: planted-050 relabels nothing: 0.5 of a group's 1 is less than one sample")  # fmt: skip


def test_a_control_that_changes_nothing_is_told_without_known_sizes(config):
    """BiasInBios does not say how many texts it has."""
    config["grid"] |= {"gamma": [0, 0.05], "bias": ["planted-050", "associated-050"], "domain": ["gender-bias-in-bios"]}
    errors = lines(changed(config, ["originals"], 24))
    assert [line.split(": ")[2].split(" ", 1)[1] for line in errors] == ["relabels nothing", "changes no sample"]


@pytest.mark.parametrize(
    ("changes", "told"),
    [
        ({}, None),
        ({"seed": [1]}, "one seed cannot show the variation between runs"),
        ({"gamma": [0.0]}, "the only γ is 0"),
        ({"model": ["local-server"]}, "local-server cannot be fine-tuned"),
        ({"bias": ["shifted"]}, "each needs a task, pool or control that is not in the grid"),
        (
            {"task": ["perplexity"], "mitigation": ["none"]},
            "each needs a task, pool or control that is not in the grid",
        ),
        ({"domain": ["culture-arabic"], "task": ["spam"], "bias": ["neutral"]}, "all data are the project's fixtures"),
    ],
)
def test_a_grid_in_which_no_claim_can_get_a_verdict_is_told(config, changes, told):
    config["grid"] |= changes
    config["misalignment"] = []
    checks.check(config, [("config.yaml", config)])
    warnings = [line for line in checks.warnings(config) if "verdict" in line]
    start = "warning: no claim of catalog/claims.yaml can get a verdict: "
    assert warnings == [] if told is None else warnings[0].startswith(start + told)


def test_pools_that_need_labels_run_in_the_domains_that_have_them(config):
    """Biographies have labels, answers to a survey have none: the positive control of both is one of biographies."""
    config["grid"] |= {"bias": ["balanced", "associated-100"], "domain": ["culture-arabic", "culture-spanish"]}
    config["grid"]["task"].append("hiring")
    needs = "associated-100 needs `labels`, which catalog/domains/culture-arabic.yaml does not have"
    with pytest.raises(UserError, match=needs):
        checks.check(config, [("config.yaml", config)])
    config["grid"]["domain"] = ["gender", "culture-arabic", "culture-spanish"]
    checks.check(config, [("config.yaml", config)])
    told = "warning: associated-100: only in domains with labels, not in culture-arabic, culture-spanish"
    assert told in checks.warnings(config)
    for listed in (grid.cells(config), grid.pools(config)):
        of_control = [place for place in listed if place["bias"] == "associated-100"]
        assert {place["domain"] for place in of_control} == {"gender"}
        assert {place["domain"] for place in listed if place["bias"] == "balanced"} == set(config["grid"]["domain"])


def test_a_study_of_rounds_without_real_text_in_all_of_them_is_told(config):
    told = (
        "warning: later rounds of associated-100 are not real text, so β is measured against `original`; add faithful"
    )
    config["grid"] |= {"bias": ["neutral", "associated-100"]}
    assert told not in checks.warnings(config)
    config["rounds"]["count"] = 2
    assert told in checks.warnings(config)
    config["grid"]["bias"].append("faithful")
    assert told not in checks.warnings(config)


def test_a_pool_of_mitigated_need_not_be_in_the_grid(config):
    config["grid"]["bias"] = ["contrastive-explicit", "balanced"]
    checks.check(config, [("config.yaml", config)])
    assert "warning: no cell is trained with mask: no pool of grid.bias is mitigated" in checks.warnings(config)
    config["mitigated"] = ["neutrl"]
    assert lines(config) == ["config.yaml: mitigated[0]: no file catalog/biases/neutrl.yaml (did you mean 'neutral'?)"]


def test_a_key_that_stands_twice_is_refused(tmp_path):
    (tmp_path / "x.yaml").write_text("originals: 1\noriginals: 2\n")
    with pytest.raises(UserError, match="x.yaml, line 2: not valid YAML .duplicate key 'originals', first in line 1"):
        checks.sources([tmp_path / "x.yaml"])


def test_an_overlay_without_keys_is_one_clear_line(tmp_path):
    for text in ("", "# nothing\n", "study\n"):
        (tmp_path / "x.yaml").write_text(text)
        with pytest.raises(UserError, match="x.yaml: has no keys"):
            checks.sources([tmp_path / "x.yaml"])


def test_several_faults_several_lines(config):
    assert len(lines(changed(changed(config, ["grid", "seed"], [0]), ["originals"], "many"))) == 2


def test_the_file_that_gave_the_key_is_named(config):
    wrong = changed(config, ["grid", "gamma"], [0, 2])
    with pytest.raises(UserError, match=r"^studies/x.yaml: grid.gamma\[1\]"):
        checks.check(wrong, [("config.yaml", config), ("studies/x.yaml", {"grid": {"gamma": [0, 2]}})])
    with pytest.raises(UserError, match=r"^--config: originals"):
        checks.check(changed(config, ["originals"], 1), [("config.yaml", {})])
    wrong = changed(config, ["grid", "sed"], [1])
    with pytest.raises(UserError, match=r"^config.yaml: grid.sed: unknown key"):
        checks.check(wrong, [("config.yaml", wrong), ("studies/x.yaml", {"grid": {"gamma": [0, 0.5]}})])
    without = copy.deepcopy(config)
    del without["grid"]["seed"]
    with pytest.raises(UserError, match=r"^config.yaml: grid.seed: missing; add it"):
        checks.check(without, [("config.yaml", without), ("studies/x.yaml", {"grid": {"gamma": [0, 0.5]}})])


def test_the_default_study_and_all_overlays_are_sound(config, root):
    from snakemake.utils import update_config

    for path in sorted((root / "studies").glob("*.yaml")):
        whole = copy.deepcopy(config)
        update_config(whole, yaml.safe_load(path.read_text()))
        if path.stem == "paper":
            (line,) = lines(whole)  # all but the data that it must be given is there
            assert line.startswith(
                "config.yaml: data_dir: null selects invented fixtures for culture-arabic, culture-chinese"
            )
        else:
            checks.check(whole, [("config.yaml", whole)])


def test_fixtures_are_refused_to_models_of_the_hub_and_named_to_others(config):
    pools = ["contrastive-explicit", "neutral", "planted-100"]
    config["grid"] |= {"domain": ["culture-arabic"], "task": ["hate-speech"], "bias": pools}
    assert checks.warnings(config)[0] == (
        "warning: data_dir is null, so culture-arabic run on the project's invented fixtures"
    )
    checks.check(config, [("config.yaml", config)])
    (line,) = lines(changed(config, ["grid", "model"], ["tiny-random", "llama-3.1-8b-instruct"]))
    assert "which are not meant for llama-3.1-8b-instruct" in line


def test_the_resolved_configuration_says_what_it_leaves_out(config, tmp_path):
    del config["max_cost_usd"]
    write_config(tmp_path / "config.yaml", config)
    text = (tmp_path / "config.yaml").read_text()
    assert text.startswith("# What the study ran with. Left out: max_cost_usd,")
    assert yaml.safe_load(text) == config


def test_the_grid_of_the_default_study(config):
    cells = grid.cells(config)
    # the cells of neutral alone are trained with a mitigation beside `none`
    assert len(cells) == 1 + 5 + (5 + 2) * 5
    assert {cell["bias"] for cell in cells if cell["mitigation"] == "mask"} == {"neutral"}
    assert len({tuple(cell.values()) for cell in cells}) == len(cells)


@pytest.mark.parametrize(
    ("originals", "gamma", "count"),
    [(3600, 0.05, 189), (3600, 0.1, 400), (3600, 0.2, 900), (3600, 0.5, 3600), (48, 0.05, 3)],
)
def test_gamma_is_exact_to_the_nearest_sample(originals, gamma, count):
    assert grid.augmented_count(originals, gamma) == count


def test_a_gamma_of_the_mitigations_is_one_of_the_grid(config):
    config["grid"]["gamma"] = [0.0, 0.5]
    checks.check(changed(config, ["mitigated_gamma"], [0.5]), [])
    (line,) = lines(changed(config, ["mitigated_gamma"], [0.5, 0.2]))
    assert (
        line
        == "config.yaml: mitigated_gamma[1]: 0.2 is not in grid.gamma; add it there, or remove it from mitigated_gamma"
    )


def test_a_domain_that_no_claim_reads_is_told_where_only_what_claims_read_is_to_run(config):
    config["grid"] |= {"bias": ["shifted"], "gamma": [0.0, 0.5], "task": ["stereotype-congruence"]}
    config["mitigated"] = None
    checks.check(config, [])
    (line,) = lines(config | {"claimed_only": True})
    assert line == "config.yaml: claimed_only: no claim uses a task of the domain gender in this study; use false"
