#!/bin/sh
# `datasets` reads other values than a CSV or JSON Lines file holds, in four ways that raise nothing.
#
# Versions: datasets 5.2.0, pyarrow 26.0.1, pandas 3.1.1, fsspec and huggingface_hub as they ask for them. Input: four files
# of two or three rows and one of 15,001, made here. Expected of each: the values as written, or an error.
# Seen:
# - a CSV whose rows all have one cell more than the header: every column holds its neighbour's cells (`text` those of
#   `label`), the first cells go to a column `__index_level_0__`;
# - a CSV row with too few cells is filled up with missing values, with on_bad_lines="error" too;
# - JSON texts that look like dates, in a column declared Value("string"): "2024-01-01" becomes "2024-01-01 00:00:00"; one
#   other text in the column ("none") and all stay as they are;
# - a JSON column of numbers with the text "007" behind the first 10 MB: it is read as the number 7; within the first 10 MB
#   the column becomes a Json() and "007" reads as 7 too, "null" as missing.
# The script fails when one of the four changes.
set -eu
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/env"
"$folder/env/bin/python" -m pip install --quiet --disable-pip-version-check datasets==5.2.0 pyarrow==26.0.1 pandas==3.1.1
cat >"$folder/show.py" <<'PYTHON'
import json
import sys
from pathlib import Path

import datasets
import pandas
import pyarrow

folder = Path(sys.argv[1])
datasets.disable_progress_bars()


def read(name, text, **options):
    (folder / name).write_text(text)
    kind = {".csv": "csv", ".jsonl": "json"}[Path(name).suffix]
    data = datasets.load_dataset(kind, data_files=str(folder / name), split="train", cache_dir=f"{folder}/cache", **options)
    return data.to_list()


def expect(what, seen, known):
    print(f"{what}: {seen}")
    if seen != known:
        raise SystemExit(f"changed: {what} was {known}")


print("datasets", datasets.__version__, "pyarrow", pyarrow.__version__, "pandas", pandas.__version__)
strings = datasets.Features(label=datasets.Value("string"))

rows = read("long.csv", "text,label\na,b,1\nc,d,2\n")
expect("one cell too many", [(row["text"], row["label"]) for row in rows], [("b", 1), ("d", 2)])
rows = read("short.csv", "text,label\na\nb,yes\n", on_bad_lines="error")
expect("one cell too few", [(row["text"], row["label"]) for row in rows], [("a", None), ("b", "yes")])

dates = '{"label": "2024-01-01"}\n{"label": "2024-01-02"}\n'
rows = read("dates.jsonl", dates, features=strings)
expect("dates declared as strings", rows[0]["label"], "2024-01-01 00:00:00")
rows = read("dates-and-none.jsonl", dates + '{"label": "none"}\n', features=strings)
expect("the same beside another text", rows[0]["label"], "2024-01-01")

number = json.dumps({"label": 1, "text": "x" * 1000}) + "\n"
rows = read("late.jsonl", number * 15_000 + json.dumps({"label": "007", "text": "x"}) + "\n")
expect("the text 007 behind 15,000 numbers", rows[-1]["label"], 7)
PYTHON
"$folder/env/bin/python" "$folder/show.py" "$folder"
