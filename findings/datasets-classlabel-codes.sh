#!/bin/sh
# Whether `datasets` checks the codes of a ClassLabel depends on the width of the integers, and a cast swaps the classes.
#
# Versions: datasets 5.2.0, pyarrow 26.0.1, pandas 3.1.1. Input: labels 0 to 2 and the missing code −9 for
# ClassLabel(names=["no", "yes"]), and two rows of a dataset whose names are ["yes", "no"].
# Expected: the code 2 is refused everywhere, as from_dict refuses it; −9 is refused, since −1 is the code of "no label"; a
# cast between the same two names in another order keeps each row's class or is refused, as concatenate_datasets refuses it.
# Seen:
# - cast_column and the Parquet reader with declared features refuse the code 2 in int8 and int32, and accept it in int64
#   and float64, as the JSON reader does. The dataset looks valid until int2str raises "Invalid integer class label".
# - −9 is accepted in every width.
# - cast_column, cast and the Parquet reader with declared features keep the numbers and replace the names, so that each
#   "yes" becomes "no".
# Nothing is warned about.
# The script fails when one of the three changes.
set -eu
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/env"
"$folder/env/bin/python" -m pip install --quiet --disable-pip-version-check datasets==5.2.0 pyarrow==26.0.1 pandas==3.1.1
cat >"$folder/show.py" <<'PYTHON'
import sys
from pathlib import Path

import datasets
import pandas
import pyarrow

folder = Path(sys.argv[1])
datasets.disable_progress_bars()
datasets.logging.set_verbosity(datasets.logging.CRITICAL)
CLASSES = datasets.ClassLabel(names=["no", "yes"])
FEATURES = datasets.Features(label=CLASSES)


def load(kind, path):
    options = {"data_files": str(path), "features": FEATURES, "split": "train", "cache_dir": str(folder / "cache")}
    return datasets.load_dataset(kind, **options)


def codes(read):
    """The codes of the dataset, or "refused"."""
    try:
        data = read()
    except (ValueError, datasets.exceptions.DatasetGenerationError):
        return "refused"
    return data["label"][:] if data.features["label"] == CLASSES else "other classes"


def expect(what, seen, known):
    print(f"{what}: {seen}")
    if seen != known:
        raise SystemExit(f"changed: {known} before")


print("datasets", datasets.__version__, "pyarrow", pyarrow.__version__, "pandas", pandas.__version__)
expect("from_dict, code 2", codes(lambda: datasets.Dataset.from_dict({"label": [0, 2]}, features=FEATURES)), "refused")
for kind, known in (("int8", "refused"), ("int32", "refused"), ("int64", [0, 2]), ("float64", [0, 2])):
    data = datasets.Dataset.from_pandas(pandas.DataFrame({"label": pandas.Series([0, 2], dtype=kind)}))
    path = folder / f"{kind}.parquet"
    data.to_parquet(path)
    expect(f"cast_column, {kind}, code 2", codes(lambda table=data: table.cast_column("label", CLASSES)), known)
    expect(f"Parquet, {kind}, code 2", codes(lambda file=path: load("parquet", file)), known)
    data = datasets.Dataset.from_pandas(pandas.DataFrame({"label": pandas.Series([0, -9], dtype=kind)}))
    expect(f"cast_column, {kind}, code -9", codes(lambda table=data: table.cast_column("label", CLASSES)), [0, -9])
(folder / "codes.jsonl").write_text('{"label": 0}\n{"label": 2}\n')
data = load("json", folder / "codes.jsonl")
expect("JSON, code 2", data["label"][:], [0, 2])
try:
    raise SystemExit(f"changed: int2str gives {CLASSES.int2str(data['label'][:])}")
except ValueError as error:
    print("int2str:", error)

swapped = datasets.Features(label=datasets.ClassLabel(names=["yes", "no"]))
data = datasets.Dataset.from_dict({"label": ["yes", "no"]}, features=swapped)
data.to_parquet(folder / "swapped.parquet")
for what, cast in (
    ("cast_column", lambda: data.cast_column("label", CLASSES)),
    ("cast", lambda: data.cast(FEATURES)),
    ("Parquet", lambda: load("parquet", folder / "swapped.parquet")),
):
    expect(f"yes, no by {what}", CLASSES.int2str(codes(cast)), ["no", "yes"])
known = datasets.Dataset.from_dict({"label": [0]}, features=FEATURES)
expect("concatenate_datasets", codes(lambda: datasets.concatenate_datasets([known, data])), "refused")
PYTHON
HF_HUB_OFFLINE=1 HF_HOME="$folder/cache" "$folder/env/bin/python" "$folder/show.py" "$folder"
