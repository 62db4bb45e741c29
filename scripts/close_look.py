"""Close a look of a study: what it decided stays decided."""

from pathlib import Path

from bias_inheritance.claims import looks, reading
from bias_inheritance.plumbing import files, records, step
from bias_inheritance.plumbing.step import Output


def close_look(closed: Output, declared: dict, claims: str):
    """Write the file of a look (JSON), which later looks of the study read.

    claims: path of claims.csv, which the next look replaces: the record of this file cannot name it as an input. The digest
    of everything behind it, as computed by audit, is in the file instead. declared: the result of `grid.declared`.
    """
    import pandas as pd

    table = pd.read_csv(claims)
    results = records.read(Path(claims).parent)
    digest = records.upstream_digest(results, [f"{results.name}/{Path(claims).name}"])
    rows = reading.joined_with_declarations(table, declared)
    files.write_json(closed, looks.closed(declared["looks"], rows, digest))


if __name__ == "__main__":
    step.run(close_look)
