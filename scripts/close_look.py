"""Close a look of a study, so that its decisions are final."""

from pathlib import Path

from bias_inheritance.claims import looks, reading
from bias_inheritance.plumbing import files, records, step
from bias_inheritance.plumbing.step import Output


def close_look(closed: Output, declared: dict, claims: str, planned: str):
    """Write the file of a look (JSON), which later looks of the study read.

    claims: path of claims.csv. It is not an input in the record of this file, because the next look replaces it; the
    file contains the digest of everything upstream of it instead, as computed by audit. declared: the result of
    `grid.declared`. planned: the digest of the plan (`looks.planned_digest`), which later looks must have too.
    """
    table = files.read_table(claims)
    results = records.read(Path(claims).parent)
    digest = records.upstream_digest(results, [f"{results.name}/{Path(claims).name}"])
    rows = reading.joined_with_declarations(table, declared)
    files.write_json(closed, {**looks.closed(declared, rows, digest), "planned": planned})


if __name__ == "__main__":
    step.run(close_look)
