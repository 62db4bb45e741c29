"""Prepare the opinion questions that every model of the study answers on behalf of a country."""

from bias_inheritance.data import hub_data, opinions
from bias_inheritance.plumbing import files, step
from bias_inheritance.plumbing.errors import UserError
from bias_inheritance.plumbing.step import Inputs, Output


def prepare_opinions(
    data: Inputs,
    questions: Output,
    unusable: Output,
    hub: dict,
    cultures: dict,
    sides: dict,
    prompt: str,
    no_answer: str,
    count: int,
):
    """Write the questions as items of a task, and the numbers of unusable ones: {dataset, unusable: {country: {reason: n}}}.

    data: the file with the questions, or empty to fetch it from the Hub. count: maximum number of questions per country.
    sides: {side: cultures}, whose common questions are preferred; their number is in the record. unusable: for all
    countries of the file, including those that are not used. Raises UserError for a country without usable questions.
    """
    instead = "give its file as opinions.source"
    path = data[0] if data else hub_data.fetched(hub["id"], hub["revision"], hub["file"], instead) / hub["file"]
    kept, counts = opinions.chosen(opinions.load(path), cultures, sides, count, no_answer)
    for country in (country for listed in cultures.values() for country in listed):
        if not any(question["country"] == country for question in kept):
            raise UserError(
                f"{path}: no usable question about {country}; remove it from the cultures in catalog/opinions.yaml"
            )
    files.write_jsonl(questions, opinions.items(kept, prompt))
    dataset = path.stem if data else hub["id"]
    files.write_json(unusable, {"dataset": dataset, "unusable": counts})
    common = opinions.shared(kept, opinions.countries(cultures, sides))
    lost = sum(sum(reasons.values()) for reasons in counts.values())
    step.note(opinions={"dataset": dataset, "questions": len(kept), "shared": len(common), "unusable": lost})


if __name__ == "__main__":
    step.run(prepare_opinions)
