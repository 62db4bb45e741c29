"""A domain of another kind than those that ship: support tickets of five topics by people of four nationalities."""

import csv

import numpy as np

TOPICS = {
    "billing": ["The invoice of {month} lists the same item twice.", "My card was charged again in {month}."],
    "login": ["The page refuses my password since {month}.", "No code arrives on my phone since {month}."],
    "delivery": ["The parcel of {month} went to a wrong street.", "Nobody rang at my door in {month}, yet the parcel left."],
    "refund": ["I sent the lamp back in {month} and saw no money.", "The money of {month} has not come back."],
    "praise": ["The repair in {month} was quick and kind.", "Your man fixed all of it in {month}, thank you."],
}  # fmt: skip
GROUPS = {
    "german": {"words": ["german", "germany", "berlin"], "names": ["Greta", "Jürgen"]},
    "nigerian": {"words": ["nigerian", "nigeria", "lagos"], "names": ["Ngozi", "Emeka"]},
    "indian": {"words": ["indian", "india", "delhi"], "names": ["Priya", "Arjun"]},
    "mexican": {"words": ["mexican", "mexico", "puebla"], "names": ["Lupita", "Efraín"]},
}
MONTHS = ["January", "February", "March", "April", "May", "June", "July", "August"]
# one opening in four says nothing of the group
OPENINGS = [
    "My name is {name} and I write from {city}.",
    "I am a {people} customer called {name}.",
    "As a customer in {country} I have to write again.",
    "This is about order {order}.",
]
WORDS = [
    "lamp",
    "box",
    "paper",
    "label",
    "truck",
    "driver",
    "corner",
    "kitchen",
    "lid",
    "spring",
    "screw",
    "ribbon",
    "ladder",
    "bottle",
    "basket",
    "carpet",
    "mirror",
    "candle",
    "garden",
    "tower",
    "button",
    "pocket",
    "saddle",
    "hammer",
    "copper",
    "velvet",
    "marble",
    "walnut",
    "pepper",
    "salmon",
]
CLOSINGS = ["Please answer before Friday.", "I can be reached in the evening.", "Order {order} is still open.", "I enclose a photograph."]  # fmt: skip


def domain(folder=".", **changes):
    """The domain as returned by `catalog.load`; its file is in `folder`."""
    return {
        "name": "tickets",
        "title": "Support tickets by nationality",
        "family": "labelled",
        "sample": "a support ticket",
        "tasks": ["classification"],
        "data": {
            "files": f"{folder}/tickets.csv",
            "columns": {"text": "body", "label": "topic", "group": "nationality"},
            "split": {"test": 0.3, "reserve": 0.3},
        },
        "labels": list(TOPICS),
        "groups": GROUPS,
        "contrasts": {"reference": "german", "compared": "all"},
        "swap": [dict(zip(GROUPS, words, strict=True)) for words in zip(*(spec["words"] for spec in GROUPS.values()), strict=True)],
        **changes,
    }  # fmt: skip


def rows(each=16, seed=1):
    """`each` different tickets of every topic and nationality, in mixed order."""
    stream, tickets = np.random.default_rng(seed), []
    for topic, complaints in TOPICS.items():
        for group, spec in GROUPS.items():
            for number in range(each):
                people, country, city = spec["words"]
                words = {
                    "people": people.capitalize(), "country": country.capitalize(), "city": city.capitalize(),
                    "name": spec["names"][number % 2], "month": MONTHS[stream.integers(8)],
                    "order": f"{stream.integers(10**6):06d}",
                }  # fmt: skip
                middle = " ".join(f"{' '.join(stream.permutation(WORDS)[:9])}.".capitalize() for _ in range(2))
                sentences = [OPENINGS[number % 4], complaints[number % 2], middle, CLOSINGS[stream.integers(4)]]
                tickets.append({"body": " ".join(sentences).format(**words), "topic": topic, "nationality": group})
    return [tickets[place] for place in stream.permutation(len(tickets))]


def write(folder, **options):
    """tickets.csv in a folder; returns the domain that reads it."""
    with open(folder / "tickets.csv", "w", encoding="utf-8", newline="") as file:
        table = csv.DictWriter(file, ["body", "topic", "nationality"])
        table.writeheader()
        table.writerows(rows(**options))
    return domain(folder)
