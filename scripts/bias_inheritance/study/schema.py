"""The schema of config.yaml and the files of catalog/: one model per kind of file, one line per key.

The models are used for validation only: `faults` returns what is wrong with a file, and the program works on the plain
dictionaries that were read from it. A field without a default is a required key, an `optional` one may be left out.
"""

from functools import cache
from inspect import isclass
from itertools import pairwise
from string import Formatter
from types import NoneType, UnionType
from typing import Annotated, Any, Literal, Union, get_args, get_origin

from pydantic import (
    AfterValidator,
    BaseModel,
    ConfigDict,
    Discriminator,
    Field,
    Tag,
    TypeAdapter,
    ValidationError,
    WrapValidator,
    create_model,
    model_validator,
)
from pydantic_core import PydanticCustomError

from bias_inheritance.models import adapters
from bias_inheritance.plumbing.errors import did_you_mean
from bias_inheritance.study.declarations import PLACEHOLDERS
from bias_inheritance.study.reading import quoted, suggest

FOLDER_NAME = r"^[A-Za-z0-9][A-Za-z0-9._-]{0,63}$"


# ---- types that several keys share ---------------------------------------------------------------------------------


def required(description, **constraints):
    return Field(description=description, **constraints)


def optional(description=None, **constraints):
    """An optional key."""
    return Field(default=None, description=description, **constraints)


def worded(text):
    """A validation error whose message is shown to the user as it is."""
    return PydanticCustomError("worded", "{text}", {"text": text})


def each_once(values):
    seen = set()
    for value in values:
        if value in seen:
            raise worded(f"{quoted(value)} is listed twice; remove one")
        seen.add(value)
    return values


def increasing(values):
    for earlier, later in pairwise(values):
        if later <= earlier:
            raise worded(f"{later} does not follow {earlier}; list increasing numbers")
    return values


def or_else(meaning):
    """Replace the errors of a union type with a single one that says what is allowed."""

    def validate(value, handler):
        try:
            return handler(value)
        except ValidationError:
            raise worded(f"{quoted(value)} is not allowed; use {meaning}") from None

    return WrapValidator(validate)


def one_of(choose, lacking="not allowed", **types):
    """One of several types, selected by `choose(value)`; the error is `lacking` if it returns None."""
    members = tuple(Annotated[type_, Tag(f"<{name}>")] for name, type_ in types.items())
    return Annotated[
        Union[members],  # noqa: UP007
        Discriminator(
            lambda value: (name := choose(value)) and f"<{name}>",
            custom_error_type="worded",
            custom_error_message=lacking,
        ),
    ]


def by_key(**models):
    """The model selected by the key that a mapping has."""
    first, names = next(iter(models)), ", ".join(models)

    def choose(value):
        return next((key for key in models if key in value), None) if isinstance(value, dict) else first

    return one_of(choose, f"lacks one of {names}; add one of them", **models)


def by_value(key, other, **models):
    """The model selected by a mapping's value of `key`, otherwise `other`."""

    def choose(value):
        name = value.get(key) if isinstance(value, dict) else None
        return name if isinstance(name, str) and name in models else "other"

    return one_of(choose, other=other, **models)


def by_shape(text, **others):
    """The type `text`, or the type in `others` for a list or a mapping."""

    def choose(value):
        shape = "list" if isinstance(value, list) else "mapping" if isinstance(value, dict) else "text"
        return shape if shape in others else "text"

    return one_of(choose, text=text, **others)


def template(*words):
    """A text in which these placeholders are allowed."""

    def validate(text):
        for fault in faults_of_template(text, words):
            raise worded(fault)
        return text

    return Annotated[Text, AfterValidator(validate)]


def faults_of_template(text, words):
    """Faults of a template: unbalanced braces, and placeholders that are not in `words`."""
    try:
        names = [name for _, name, _, _ in Formatter().parse(text) if name is not None]
    except ValueError:
        names = []
        yield f"{quoted(text)} has an unbalanced brace; write {{{{ or }}}} for a literal brace"
    for name in names:
        if name not in words:
            yield f"nothing fills {{{name}}}{suggest(name, words)}"


Text = Annotated[str, Field(min_length=1)]
Share = Annotated[float, Field(ge=0, le=1)]
Count = Annotated[int, Field(ge=1, le=10**9)]
NotNegative = Annotated[float, Field(ge=0, le=10**9)]
Positive = Annotated[float, Field(gt=0, le=10**9)]
Names = Annotated[list[Text], Field(min_length=1), AfterValidator(each_once)]
Words = Annotated[dict[str, Text], Field(min_length=1)]
FolderName = Annotated[str, Field(pattern=FOLDER_NAME)]
OneOrMore = by_shape(Text, list=Names)


class Keys(BaseModel):
    """A mapping without unknown keys."""

    model_config = ConfigDict(extra="forbid", strict=True, allow_inf_nan=False, defer_build=True)


def mapping(**types):
    """A mapping whose keys are all required and need no description."""
    return create_model("mapping", __base__=Keys, **{key: (type_, ...) for key, type_ in types.items()})


class OpenKeys(Keys):
    """A mapping that may have additional keys, for a user-defined module."""

    model_config = ConfigDict(extra="allow")


# ---- config.yaml and studies/*.yaml --------------------------------------------------------------------------------

Gamma = Annotated[float, Field(ge=0, lt=1)]
Seed = Annotated[int, Field(ge=1, le=10**6)]
Items = Annotated[int, Field(ge=2, le=10**7)]
Originals = Annotated[int, Field(ge=2, le=10**6)]
Misalignment = Literal["values", "groups", "distributions"]
Projections = Annotated[list[Literal[adapters.PROJECTIONS]], Field(min_length=1), AfterValidator(each_once)]
Multiplier = Annotated[Annotated[float, Field(gt=0, le=1000)] | Literal["auto"], or_else("a number above 0, or auto")]


class Grid(Keys):
    model: Names = required("files of catalog/models")
    writer: Names = required("files of catalog/models, or student: who writes the pools that a model reads")
    domain: Names = required("files of catalog/domains")
    bias: Names = required("files of catalog/biases")
    gamma: Annotated[list[Gamma], AfterValidator(each_once)] = required(
        "shares of augmented samples in the mix", min_length=1
    )
    mitigation: Names = required("files of catalog/mitigations")
    seed: Annotated[list[Seed], AfterValidator(each_once)] = required("replications", min_length=1, max_length=1000)
    task: Names = required("files of catalog/tasks")


class Looks(Keys):
    seeds: Annotated[list[Annotated[int, Field(ge=2)]], Field(min_length=1), AfterValidator(increasing)] = required(
        "number of seeds at each look, the last one all of grid.seed"
    )
    spending: Literal["obrien-fleming", "pocock"] = required("how α is spent over the looks")


class Rounds(Keys):
    count: int = required("rounds of augmentation and training", ge=1, le=100)
    arm: Literal["replace", "accumulate-subsample", "accumulate"] = required(
        "the pools that a round's mix is drawn from"
    )
    start: Literal["base", "continue"] = required("what each round's training starts from")


class PoolGeneration(Keys):
    attempts: int = required("attempts per slot before it counts as failed", ge=1, le=1000)
    spare: float = required("extra slots, as a share of what the largest γ needs", ge=0, le=10)
    max_new_tokens: int | None = required("maximum tokens per text; null: the model's own limit", ge=1, le=10**5)


class Training(Keys):
    """Settings of local training."""

    learning_rate: float = optional(gt=0, le=1)
    epochs: int = optional(ge=1, le=1000)
    batch_size: int = optional("samples per optimiser step", ge=1, le=4096)
    micro_batch_size: int = optional("samples per forward pass", ge=1, le=4096)
    rank: int = optional("of LoRA", ge=1, le=1024)
    alpha: float = optional("of LoRA", gt=0, le=4096)
    dropout: float = optional(ge=0, lt=1)
    warmup: Share = optional("share of the steps")
    weight_decay: float = optional(ge=0, le=10)
    max_grad_norm: float = optional(gt=0, le=10**6)
    loss_average: Literal["sample", "token"] = optional(
        "mean over samples of each one's mean, or over all answer tokens"
    )
    targets: by_shape(Literal["all-linear"], list=Projections) = optional("layers that LoRA adapts")


class StudyTraining(Training):
    learning_rate_multiplier: Multiplier = optional("for models tuned by their provider")


class DomainSettings(Keys):
    originals: Originals = optional()
    finetune: StudyTraining = optional()


class Evaluation(Keys):
    items: dict[str, Items | None] = required("maximum items per task, in the task's unit; null: all")
    items_per_dataset: Items | None = required("the same per dataset, for tasks not listed in `items`")
    second_prompt: int = required("texts per dataset asked with the task's second prompt, too", ge=0, le=10**7)
    datasets: Names | None = required("datasets of the culture tasks; null: all local ones")
    bootstrap: int = required("replicates of the within-run intervals", ge=100, le=10**6)


class OpinionQuestions(Keys):
    source: Text = required("fixture, hub, or a file in data_dir")
    questions: int = required("maximum questions per country", ge=1, le=10**5)


class Study(Keys):
    """config.yaml merged with overlays and the command line."""

    study: FolderName = required("results go to results/<study>/")
    grid: Grid = required("the compared axes")
    mitigated: Annotated[list[Text], AfterValidator(each_once)] | None = required(
        "pools trained with every mitigation; null: bias types and natural pools"
    )
    mitigated_gamma: Annotated[list[Gamma], Field(min_length=1), AfterValidator(each_once)] | None = required(
        "values of grid.gamma at which mitigations are trained; null: all"
    )
    claimed_only: bool = required("whether to omit cells, tasks of cells and analyses of pools that no claim uses")
    looks: Looks | None = required("interim analyses planned before the run; null: one analysis, of all seeds")
    originals: Originals = required("|D_o|, the original samples of every cell")
    sentences: int | None = required("sentences to keep of each text; null: all", ge=1, le=1000)
    domains: dict[str, DomainSettings] = required("overrides for single domains")
    instruction_share: Share = required("share of samples trained as instruction → text")
    rounds: Rounds = required("iterated re-augmentation")
    generation: PoolGeneration = required("how pools are generated")
    finetune: StudyTraining = required("overrides of the model's training settings")
    evaluation: Evaluation = required("evaluation of every cell")
    misalignment: Annotated[list[Misalignment], AfterValidator(each_once)] = required("explanations to measure")
    opinions: OpinionQuestions = required("questions for the misalignment of values")
    data_dir: Text | None = required("folder with data that cannot be shipped")
    max_cost_usd: float = required("budget for servers billed per token", ge=0, le=10**6)
    containers: mapping(cpu=Text | None, gpu=Text | None) = required("container images by role")


# ---- catalog/biases ------------------------------------------------------------------------------------------------


Scalar = Annotated[str | int | float | bool, or_else("text or a number")]
Spelled = Annotated[dict[Scalar, Text], Field(min_length=1)]
NamesOrSpelled = by_shape(Text, list=Names, mapping=Spelled)


class Columns(Keys):
    """Columns, or paths into nested ones."""

    text: Text
    label: Text = optional()
    group: Text = optional()
    id: Text = optional("unique id of a row")
    split: Text = optional()


class Votes(Keys):
    """How the columns of several raters become a label."""

    columns: Names
    values: Annotated[dict[Scalar, Scalar], Field(min_length=1)] = optional("number of votes per cell value")
    at_least: Positive = optional("minimum votes for label 1, otherwise 0")
    majority: Literal[True] = optional("the label given by most raters")

    @model_validator(mode="after")
    def decides(self):
        rules = {"at_least", "majority"} & self.model_fields_set
        if not rules:
            raise worded("lacks 'at_least' or 'majority', which turn votes into a label")
        if len(rules) > 1:
            raise worded("has both 'at_least' and 'majority', two ways to a label; remove one of them")
        return self


Files = by_shape(Text, list=Names, mapping=dict[str, OneOrMore])


class Table(Keys):
    """Texts in files or on the Hub (docs/formats.md)."""

    files: Files = optional("paths, or {split: paths}")
    hub: Text = optional("id of a dataset on the Hub")
    revision: Text = optional("its commit")
    config: Text = optional("for a dataset or folder with several configurations")
    splits: Names = optional("the data's own splits to read; default all")
    columns: Columns = optional("role of each column")
    votes: Votes = optional("determines the label, instead of columns.label")
    labels: NamesOrSpelled = optional("values of the label column to read, or {value: name}")
    groups: NamesOrSpelled = optional("the same of the group column")
    longest_text: Count = optional("characters at which longer texts are cut")

    @model_validator(mode="after")
    def has_revision(self):
        if self.hub and not self.revision:
            raise worded("lacks 'revision', the commit of the data set `hub`")
        return self


def has_a_place(table):
    """The table of texts, if it says where they are."""
    if table.files is None and table.hub is None:
        raise worded("lacks 'files' or 'hub', where the texts are")
    return table


class PoolTable(Table):
    columns: Columns

    @model_validator(mode="after")
    def has_one_place(self):
        if self.files is not None and self.hub is not None:
            raise worded("has both 'files' and 'hub'; remove the one that the samples are not read from")
        return has_a_place(self)


Source = Literal["generated", "originals", "reserve"]
NamesGroups = mapping(identities=Literal["single", "intersectional"], signal=Literal["explicit", "implicit"])


class Bias(Keys):
    """A bias type, a natural pool or a control."""

    title: Text = optional("in the report; default the file's name")
    does: Text = optional("one sentence for the report")
    number: Count = optional("the paper's; types without one are listed last")
    role: Literal["bias-type", "baseline", "natural", "negative-control", "positive-control", "probe"]
    source: by_shape(Source, mapping=PoolTable) = required(
        "where samples come from: a model, D_o, real samples kept out of D_o, files"
    )
    names_groups: NamesGroups = optional("how the prompt names a group; without it the prompt names none")
    prompt: Annotated[dict[str, Text], Field(min_length=1)] = optional(
        "templates by domain, by a domain's `prompts`, or by family"
    )
    plant: Share = optional("share of the compared groups' samples to relabel")
    shift: Literal[True] = optional("change style and length of the copies")
    topics: Names = optional("topics of a probe's texts, which must not name labels or groups")
    tuned_on: Text = optional("the pool on which the writer of a probe is tuned, at the largest γ")
    associate: Share = optional("how far the group follows the label: 0 independent, 1 one group per label")
    later_rounds: Text = optional(
        "the generated pool with whose prompts the tuned model writes the later rounds of a copied one"
    )


# ---- catalog/domains -----------------------------------------------------------------------------------------------

ShareOrSplit = Annotated[Share | Text | Names, or_else("a share between 0 and 1, or names of the data's own splits")]
Labels = by_shape(Names, mapping=Spelled)
Stereotypes = dict[str, dict[str, mapping(text=Text, words=Names)]]
SCALE = dict.fromkeys(("low", "high", "strongly_agree", "agree", "disagree", "strongly_disagree"), int)
SCALE |= {"options": Text, "answers": Words}


Spellings = Annotated[Scalar | list[Scalar], or_else("text, a number, or a list of them")]


class Group(Keys):
    """Names of a group in prompts, and cues that show it in a text."""

    value: Spellings = optional("its value or values in the data; default its name")
    noun: Text = optional("in prompts; default its name")
    person: Text = optional("a member, in prompts of a survey")
    people: Text = optional("several members")
    adjective: Text = optional()
    pronouns: Names = optional()
    words: Names = optional()
    names: by_shape(Text, list=Names, mapping=Words) = optional("first names, or columns of resources/names.csv")
    forms: Words = optional("{placeholder: word} for the placeholders of twins")


class Contrasts(Keys):
    reference: Text = required("a group, or rest")
    compared: OneOrMore = required("a group, a list, all, or rest")


class World(Keys):
    """Real-world shares of the groups."""

    file: Text
    label: Text = required("the file's column of labels")
    percent: Words = required("{group: column}")


class Domain(Keys):
    """Keys of every domain."""

    title: Text
    family: Text = required("a module of scripts/bias_inheritance/data")
    data: dict[str, Any] = required("source of D_o")
    tasks: Names = required("files of catalog/tasks")
    groups: dict[Text, Group | None]
    contrasts: Contrasts = required("compared groups")
    samples: mapping(source=Count, reserve=Count) | None = optional("size of each split, if known")
    sample: Text = optional("noun for one sample with its article, such as `a support ticket`")
    prompts: Text = optional("key of the bias types' prompts to use; default the family")
    language: Text = optional("of originals and generated texts")
    prompt: template("text") = optional("asks for the label of a text")
    instruction: Text = optional("asks for a sample without naming a group")
    ages: Words = optional("ages that prompts name, each with a cue that shows it")
    stereotypes: Stereotypes = optional("sentences for prompts, and words counted by the manipulation check")
    manipulation: mapping(requested_group_share=Share) = optional(
        "minimum share of samples that show the requested group"
    )


class Split(Keys):
    """Shares of the texts, or names of the data's own splits. A share of the source is what the others leave."""

    test: ShareOrSplit
    reserve: ShareOrSplit = optional()
    source: ShareOrSplit = optional()

    @model_validator(mode="after")
    def agrees(self):
        parts = {part: getattr(self, part) for part in self.model_fields_set}
        shares = {part: share for part, share in parts.items() if isinstance(share, (int, float))}
        if not shares:
            return self
        if len(shares) < len(parts):
            raise worded("give a share for every part, or name splits of the data for every part")
        total = round(sum(shares.values()), 9)
        if "source" in shares and total != 1:
            raise worded(
                f"the shares add up to {total:g}, not to 1; change them, or leave out source, which is the rest"
            )
        if shares.get("source", 1) == 0 or ("source" not in shares and total >= 1):
            raise worded("the shares leave no text as the source of D_o; lower them")
        return self


class LabelledTable(Table):
    files: Files | None = optional("paths, or {split: paths}; null, or instead of the `hub` of a file that it extends")
    split: Split = optional("how test items and the reserve are held out")
    twins: Text | None = optional("folder of texts written for all groups, one JSON Lines file per label")
    content: Text | None = optional("folder of twins whose content follows the stereotype of one group")

    @model_validator(mode="after")
    def has_texts(self):
        if self.twins is not None:
            return self
        if self.columns is None:
            raise worded("lacks 'columns', the role of each column")
        return has_a_place(self)


class Labelled(Domain):
    family: Literal["labelled"]
    data: LabelledTable
    labels: Labels = required("names, or {value in the data: name}")
    answer: template("label") = optional("the answer to `prompt`")
    instruction: template("a_label", "label", "sample") = optional("asks for a sample without naming a group")
    label_words: dict[str, Names] = optional("words that reveal a label")
    neutral_noun: Text = optional("replaces them in generated texts")
    names: Words = optional("columns of resources/names.csv for names in prompts without a culture")
    cultures: Words = optional("cultures named by intersectional types")
    swap: list[dict[str, str]] = optional(
        "what corresponds in texts about two groups: {group: word}; `neutral`: what fits all; `where`: what must follow"
    )
    associated_groups: dict[str, Text] = optional("the group that `associate` assigns to each label; default in turn")
    planted_label: Text = optional("the label that `plant` assigns to compared groups")
    world: World = optional("real-world shares of the groups")


class Survey(Domain):
    family: Literal["survey"]
    data: mapping(questions=Text, answers=Text, group=Text, reserve_share=Share)
    countries: Names
    prompt: template("text")
    instruction: Text
    question: template("statement", *SCALE) = required("how a generated sample asks for its statement")
    scale: mapping(**SCALE) = required("of generated answers")
    neutral_verb: Text = required("replaces `agree` and `disagree`")
    statements: dict[str, mapping(topic=Text, text=Text)] = required("statements for generated samples")
    genders: Words
    ages: Words
    gendered_words: Names
    stereotypes: Stereotypes
    manipulation: mapping(requested_group_share=Share)


class OtherFamily(Domain, OpenKeys):
    """A domain whose family is a user-defined module in data/."""


AnyDomain = by_value("family", OtherFamily, labelled=Labelled, survey=Survey)


# ---- catalog/tasks -------------------------------------------------------------------------------------------------


class Task(Keys):
    title: Text
    kind: Text = required("a module of scripts/bias_inheritance/tasks")
    relation: Literal["direct", "indirect", "none"] = required("relation to the bias")
    primary: mapping(metric=Text) = required("of its overview in the report, if it has no label probability")
    domains: Literal["any"] = optional("available in every domain; default those that list it")
    whole_texts: bool = optional("whether it needs the probability of whole texts, which servers do not return")


class Dataset(Keys):
    corpus: Text
    domain: Text = required("a file of catalog/domains")
    language: Text
    columns: Columns = required("the columns of the text and, unless `votes` determine it, of the label")
    votes: Votes = optional("determines the label, instead of columns.label")
    values: Words = optional("{value in the file: label}, if they differ")
    labels: Words = required("{label: scored option}")
    positive: Names = required("labels that count as a detection")
    words: Words = optional("{label: option of the second prompt}")
    question: Text
    licence: Text
    origin: Text


class FileDataset(Dataset):
    file: Text = required("in data_dir")


class HubDataset(Dataset):
    hub: Text = required("id of a dataset of the hub")
    revision: Text = required("its commit or branch")
    splits: Names = optional("the data's own splits that are read; all without it")


class LabelledTexts(Task):
    prompt: template("text", "question", "options")
    second_prompt: template("text", "question", "options") = optional("asks for `words` of the datasets")
    longest_text: Count = required("characters at which longer texts are cut")
    datasets: Annotated[dict[FolderName, by_key(file=FileDataset, hub=HubDataset)], Field(min_length=1)]


class Hiring(Task):
    prompt: template("job", "candidates")
    genders: Names
    cultures: Names
    contrasts: Contrasts = required("of the candidates' groups")
    jobs: Names
    position_limit: Share = required("share of choices by position above which the task is uninformative")


class Salary(Task):
    prompt: template("text")
    ladder: mapping(low=Count, high=Count, rungs=Count) = required("scored amounts")
    plausible: mapping(low=Count, high=Count) = required("written amounts outside this range count as unreadable")
    max_new_tokens: Count


class Stories(Task):
    prompt: template("name")
    genders: Names
    cultures: Names
    names: Count = required("number of names per culture and gender")
    max_new_tokens: Count
    temperature: float = Field(ge=0, le=10)


Patterns = Annotated[Names, Field(description="patterns of file names")]
BenchmarkFiles = by_key(hub=mapping(files=Patterns, hub=Text, revision=Text), files=mapping(files=Patterns))


class Benchmark(Task):
    data: BenchmarkFiles = required("published files, in data_dir or in a dataset on the Hub")


class QuestionAnswering(Benchmark):
    prompt: template("context", "question", "answers")


class SentencePairs(Benchmark):
    prompt: Text


class Coreference(Benchmark):
    prompt: template("sentence", "pronoun")


class Instructions(Task):
    requests: Text = required("the file of requests with their rules")
    max_new_tokens: Count


class OtherTask(Task, OpenKeys):
    """A task whose kind is a user-defined module."""


AnyTask = by_value(
    "kind",
    OtherTask,
    labelled_texts=LabelledTexts,
    hiring=Hiring,
    salary=Salary,
    stories=Stories,
    bbq=QuestionAnswering,
    crows_pairs=SentencePairs,
    winobias=Coreference,
    instructions=Instructions,
    classification=Task,
    congruence=Task,
    perplexity=Task,
)


# ---- catalog/models, catalog/embedder.yaml ---------------------------------------------------------------------------


Package = mapping(package=Text, version=Text, sha256=Text, file=Text)
Hub = mapping(hub=Text, revision=Text)


class Random(Keys):
    random: Literal[True]
    tokenizer_of: Text = required("the model whose tokenizer it uses")
    seed: int
    shape: dict[str, int]
    emphasised: dict[str, float] = optional("factors of tokens' embeddings; the model writes these tokens more often")


class RequestParameters(Keys):
    """Changes to request parameters for a server; null omits a parameter."""

    max_tokens: dict[Literal["name", "max"], Any] = optional()
    top_logprobs: dict[Literal["max"], Count] = optional()
    seed: None = optional()
    temperature: dict[Literal["min", "max"], NotNegative] | None = optional()
    top_p: dict[Literal["min", "max"], NotNegative] | None = optional()


class Api(Keys):
    api: Literal["openai"]
    model: Text = required("the model's id on the server")
    base_url: Text | None
    logprobs: bool = required("whether the server lists the likeliest tokens")
    fine_tuning: bool = required("whether the provider can tune it")
    parameters: RequestParameters = optional()
    extra_body: dict[Text, Any] = optional()


class TextGeneration(Keys):
    batch_size: Count
    max_new_tokens: Count
    temperature: float = Field(ge=0, le=10)
    top_k: Count = optional()
    top_p: float = optional(gt=0, le=1)


class Resources(Keys):
    """Resources of one job."""

    threads: Count
    gpu: int = required("whether it needs a GPU: 1, or 0; no step uses several", ge=0, le=1)
    mem_mb: Count
    runtime: Count = required("minutes")


class Price(Keys):
    """US dollars per million tokens."""

    input: NotNegative
    output: NotNegative
    tuned_input: NotNegative = optional()
    tuned_output: NotNegative = optional()
    training: NotNegative = optional()


TunedPrice = mapping(**dict.fromkeys(("input", "output", "tuned_input", "tuned_output", "training"), NotNegative))
RateLimits = mapping(requests_per_minute=Count | None, tokens_per_minute=Count | None, concurrency=Count)


class Service(Keys):
    key: Text | None = required("the environment variable with the key")
    price: Price
    limits: RateLimits
    timeout: Positive
    patience: Positive
    poll_seconds: Positive = optional()
    tuning_hours: Positive = optional()


class TuningService(Service):
    price: TunedPrice
    poll_seconds: Positive
    tuning_hours: Positive


class LocalTraining(Training):
    @model_validator(mode="after")
    def has_all_settings(self):
        lacking = [name for name in Training.model_fields if name not in self.model_fields_set]
        if lacking:
            raise worded(f"lacks {', '.join(map(repr, lacking))}")
        return self


class ProviderTraining(Keys):
    epochs: Count
    batch_size: Annotated[Count | Literal["auto"], or_else("a whole number, or auto")]
    learning_rate_multiplier: Multiplier


class Model(Keys):
    title: Text
    licence: Text
    system: str | None = required("the system prompt; null: the template's default")
    generation: TextGeneration
    resources: Resources


class LocalModel(Model):
    source: by_key(package=Package, hub=Hub, random=Random, api=Api)
    form: by_shape(
        Literal["plain"], mapping=mapping(cpu=Literal["dequantised"], cuda=Literal["dequantised", "packed"])
    ) = required("the NF4 base on each device; plain: the base in bf16, not quantised")
    finetune: LocalTraining


class ServedModel(Model):
    source: Api
    service: Service


class TunedModel(Model):
    source: Api
    service: TuningService
    finetune: ProviderTraining


def kind_of_model(content):
    source = content.get("source") if isinstance(content, dict) else None
    if not isinstance(source, dict) or "api" not in source:
        return "local"
    return "tuned" if source.get("fine_tuning") is True else "served"


class Embedder(Keys):
    name: FolderName
    title: Text
    licence: Text
    source: Package
    max_tokens: Count = required("length at which texts are truncated")
    batch_size: Count
    resources: dict[Literal["mem_mb"], Count]


# ---- catalog/mitigations, catalog/opinions.yaml ----------------------------------------------------------------------


class Method(Keys):
    method: Text = required("a module of scripts/bias_inheritance/pools/mitigations")


class Prefix(Method):
    line: Text = required("text put before the prompt")


class TokenMask(Method):
    token: Text = required("replaces cues")


class NeutralMask(Method):
    neutral: Text = required("replaces names; other cues become the `neutral` ones of the domain's `swap`")


class Filter(Method):
    by: Literal["stereotype-words", "direction"]
    share: float = required("share of the augmented samples to replace", gt=0, le=0.5)


class OtherMethod(Method, OpenKeys):
    """A user-defined module."""


AnyMethod = by_value(
    "method",
    OtherMethod,
    prefix=Prefix,
    mask=by_key(token=TokenMask, neutral=NeutralMask),
    filter=Filter,
    swap=Method,
    reweight=Method,
)
Methods = Annotated[list[AnyMethod], Field(min_length=1)]


class Alignment(Keys):
    weight: Positive
    batch_size: int = required("samples drawn of each origin", ge=2, le=10**6)


class Mitigation(Keys):
    title: Text
    does: Text = required("one sentence for the report")
    source: Text = optional("where it was published")
    text: Methods = optional("methods that change text or prompt of every augmented sample")
    rows: Methods = optional("methods that select the augmented samples")
    weights: Methods = optional("methods that assign loss weights to all samples, original and augmented")
    loss: Alignment = optional("loss term: squared distance between the mean hidden states of both origins")


class Opinions(Keys):
    hub: mapping(id=Text, revision=Text, file=Text)
    prompt: template("country", "question", "options")
    no_answer: Text = required("regular expression for options that are not answers")
    position_limit: Share = required("share of answers by position above which they are uninformative")
    cultures: dict[str, Names] = required("countries of each culture")
    sides: dict[str, Names] = required("the two compared sides", min_length=2, max_length=2)


# ---- catalog/claims.yaml ---------------------------------------------------------------------------------------------

Effect = Literal["augmentation", "natural", "slant", "dose", "level"]
Gammas = Annotated[list[Gamma], Field(min_length=2, max_length=2)]
Pools = by_shape(Literal["types"], list=Names)
Figures = by_shape(Text, mapping=Words)


class Selector(Keys):
    task: Names = optional("default every task with the metric")
    metric: Text
    group: Annotated[list[template(*PLACEHOLDERS)], Field(min_length=1), AfterValidator(each_once)] = required(
        "groups of scores.csv; placeholders stand for those of each domain: a row each where the contrast's name has "
        "them too, else their mean"
    )
    relation: Literal["direct", "indirect"] = optional("only scores whose task has this relation to the bias")
    domain: Names = optional("only scores of these domains")
    fewest: Count = optional("minimum items of a score; below it a contrast is not tested")
    harm: Literal["lower", "higher"] = optional("makes harm positive; `lower`: a decrease of the metric is harm")


class Minus(Keys):
    outcome: Text = optional()
    biases: Names = optional()
    mitigation: Text = optional()


class Each(Keys):
    """Names (of pools: those that the study has) or keywords: all bias types (if there are at least two), natural pools,
    natural pools from files, or mitigations of the study."""

    biases: by_shape(Literal["types", "natural", "files"], list=Names) = optional()
    mitigation: by_shape(Literal["mitigations"], list=Names) = optional()
    groups: Names = optional()


class With(Keys):
    outcome: Text
    effect: Effect
    gamma: Gammas = optional()


class Contrast(Keys):
    name: Text = required(
        "unique within the claim; {biases}, {mitigation}, {groups} stand for a value of `each`, {reference}, "
        "{compared}, {contrast}, {group} for groups and contrasts of the domain"
    )
    outcome: Text
    biases: Pools = optional("pools to average; `types` (default): the study's bias types that passed their check")
    effect: Effect = required("what is tested: a cell minus its control, or `level`, the score itself")
    mitigation: Text = optional("default none")
    gamma: Gammas = optional("lowest and highest γ to include; default every γ above 0")
    over: Literal["mean", "gamma", "round", "last-step", "step-change"] = optional(
        "mean over γ (default); slope over γ or over rounds; change in the last round; that minus the change in round 2"
    )
    at: Positive = optional("a slope is reported as the change over this γ or number of rounds; default 1")
    minus: Minus = optional("subtracts the same contrast of another outcome, pool or mitigation")
    than: mapping(biases=Names) = optional("subtracts the same contrast, including `minus`, of these pools")
    against: float = optional("subtracts a constant")
    each: Each = optional("one row per value, or per combination of values")
    with_: With = optional("Spearman's correlation over bias types with this contrast", alias="with")
    direction: Literal["greater", "less", "different", "none"] = required("`none` claims equivalence")
    margin: Positive = optional("largest change that would not matter; without it there is no TOST")
    published: Figures = optional("published result on this contrast, or {value of `each`: result}")
    counterpart: Text = optional(
        "the contrast with the published result, if this is another effect on the same outcome"
    )
    family: Text = optional("of Holm's correction; default the claim")
    part: bool = optional("whether the verdict of the whole claim depends on this row; default false")


class Rule(Keys):
    name: Text
    rule: Literal["none universal"] = required("every mitigation fails for some bias type of the family `of`")
    of: Text
    where: Text = required("the family that determines the harmful bias types")
    part: bool = optional()


class Claim(Keys):
    text: Text = required("the claim in one sentence")
    published: Text = required("published result on the claim as a whole")
    source: Text = required("where it was published")
    models: Names = optional("models that the claim is limited to")
    contrasts: Annotated[
        list[
            one_of(
                lambda row: "rule" if isinstance(row, dict) and "rule" in row else "contrast",
                rule=Rule,
                contrast=Contrast,
            )
        ],
        Field(min_length=1),
    ]


class Claims(Keys):
    alpha: float = required("two-sided error rate of a family after Holm's correction", gt=0, lt=0.5)
    power: float = required("of the minimum detectable effect", ge=0.5, lt=1)
    unreadable_limit: Share = required("share of unreadable answers above which a score gets no verdict")
    outcomes: dict[str, Annotated[list[Selector], Field(min_length=1)]] = required(
        "measured quantities: the mean of all scores that match the selectors", min_length=1
    )
    claims: dict[str, Claim] = Field(min_length=1)


# ---- errors ----------------------------------------------------------------------------------------------------------

FILES = {
    "study": Study,
    "bias": Bias,
    "domain": AnyDomain,
    "task": AnyTask,
    "model": one_of(kind_of_model, local=LocalModel, served=ServedModel, tuned=TunedModel),
    "mitigation": Mitigation,
    "embedder": Embedder,
    "opinions": Opinions,
    "claims": Claims,
}
TYPES = {
    "int_type": "a whole number",
    "int_from_float": "a whole number",
    "float_type": "a number",
    "string_type": "text",
    "bool_type": "true or false",
    "list_type": "a list",
    "dict_type": "a mapping",
    "model_type": "a mapping",
    "none_required": "null",
}
PHRASES = {
    "greater_than": "{shown} is not above {gt}",
    "greater_than_equal": "{shown} is below {ge}",
    "less_than": "{shown} is not below {lt}",
    "less_than_equal": "{shown} is above {le}",
    "finite_number": "{shown} is not finite",
    "string_too_short": "the text is empty",
    "too_short": "{size} entries are too few; at least {min_length} are needed",
    "too_long": "{size} entries are too many; at most {max_length} are allowed",
    "string_pattern_mismatch": "{shown} is not a valid folder name; use up to 64 letters, digits, '.', '_' and '-'",
    "invalid_key": "the key is not text; quote it",
    "string_unicode": "{shown} contains characters that are not valid in a file",
}


@cache
def _validator(kind):
    return TypeAdapter(FILES[kind])


def faults(content, kind):
    """[(path of keys and indices, what is wrong there)] of the content of a file; kind: a key of FILES."""
    try:
        _validator(kind).validate_python(content)
    except ValidationError as error:
        return [_fault(each, content, FILES[kind]) for each in error.errors(include_url=False)]
    return []


def _fault(error, content, annotation):
    """(path, text) of one pydantic error. A missing key is reported at the mapping that lacks it."""
    path = _path(error["loc"], content)
    value, name = error["input"], error["type"]
    models = list(map(_fields, _types_at(annotation, path[:-1])))
    if name == "missing":
        meanings = [known[path[-1]].description for known in models if path[-1] in known]
        return path, f"missing; add it{f' ({meanings[0]})' if any(meanings) else ''}"
    if name == "extra_forbidden":
        known = sorted({key for fields in models for key in fields})
        if path[-1] in known:
            return path, "does not go with the other keys; remove one of them"
        return path, f"unknown key{suggest(path[-1], known)}"
    if name == "literal_error":
        names = [
            text for type_ in _types_at(annotation, path) if get_origin(type_) is Literal for text in get_args(type_)
        ]
        return path, f"{quoted(value)} is not one of {', '.join(map(str, names))}{did_you_mean(value, names)}"
    if name in TYPES:
        null = " or null" if NoneType in _types_at(annotation, path) else ""
        return path, f"{quoted(value)} is {_kind(value)}, not {TYPES[name]}{null}{_type_hint(value, TYPES[name])}"
    phrase, size = PHRASES.get(name), len(value) if isinstance(value, (list, dict)) else None
    return path, phrase.format(shown=quoted(value), size=size, **error.get("ctx", {})) if phrase else error["msg"]


def _path(location, content):
    """A pydantic location without its markers of union members (`<…>`) and keys (`[key]`)."""
    path = []
    for key in location:
        try:
            content = content[key]
            path.append(key)
        except (KeyError, IndexError, TypeError):
            if not str(key).startswith("<") and key != "[key]":
                path.append(key)
    return path


def _types_at(annotation, path):
    """The types allowed at a path below a type: several for a union."""
    types = _alternatives(annotation)
    for key in path:
        below = []
        for type_ in types:
            if key in _fields(type_):
                below += _alternatives(_fields(type_)[key].annotation)
            elif get_origin(type_) in (dict, list):
                below += _alternatives(get_args(type_)[-1])
        types = below
    return types


def _alternatives(annotation):
    if get_origin(annotation) is Annotated:
        return _alternatives(get_args(annotation)[0])
    if get_origin(annotation) in (Union, UnionType):
        return [type_ for part in get_args(annotation) for type_ in _alternatives(part)]
    return [annotation]


def _fields(type_):
    """{key: field} of a model; {} for other types."""
    fields = type_.model_fields if isclass(type_) and issubclass(type_, Keys) else {}
    return {field.alias or name: field for name, field in fields.items()}


def _kind(value):
    if isinstance(value, bool):
        return "true or false"
    kinds = {str: "text", int: "a whole number", float: "a number", list: "a list", dict: "a mapping", NoneType: "null"}
    return kinds.get(type(value), f"a {type(value).__name__}")


def _type_hint(value, expected):
    """A hint on how to write a value of the wrong type, if possible."""
    if expected == "a list" and not isinstance(value, (list, dict)):
        return f"; write [{quoted(value)}]"
    if expected == "text" and value is not None and not isinstance(value, (list, dict)):
        return "; quote it"
    if not isinstance(value, str) or "number" not in expected:
        return ""
    try:
        number = float(value)
    except ValueError:
        return ""
    mantissa, _, exponent = value.partition("e")
    if exponent:
        return f"; YAML reads it as a number when written {mantissa if '.' in mantissa else mantissa + '.0'}e{exponent}"
    return f"; write {number:g} without quotes (in a file: nested values of --config are text)"
