"""Verify every file of a study's results against its records, the code and the configuration.

Lists what is tampered, missing, extra, stale or broken, and ends with one root digest of the whole folder. Exit status
0 only if all is well. Needs nothing but Python. Changes nothing in the results; where the configuration has changed, it
may have Snakemake renew .work/STUDY/plan.json.
"""

import argparse
import json
import sys

from bias_inheritance.plumbing.audit import audit
from bias_inheritance.plumbing.errors import UserError
from bias_inheritance.plumbing.records import plain


def main(words):
    parser = argparse.ArgumentParser(
        prog="bias-inheritance audit", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("results", help="a study's results folder, at any location")
    parser.add_argument("--expect", metavar="DIGEST", help="a root digest recorded earlier, to compare with")
    parser.add_argument("--json", action="store_true", help="print every file with its state as JSON")
    arguments = parser.parse_args(words)
    try:
        found = audit(arguments.results, arguments.expect)
    except UserError as fault:
        sys.exit(f"audit: {fault}")
    if arguments.json:
        print(json.dumps(found, indent=1, ensure_ascii=False))
    else:
        show(found)
    sys.exit(0 if found["ok"] else 1)


def show(found):
    for name, verdict in found["files"].items():
        if verdict["state"] != "ok":
            print(f"{verdict['state']:9} {plain(name)}: {plain(verdict['why'])}")
    total, counts = sum(found["counts"].values()), found["counts"]
    faults = ", ".join(f"{count} {state}" for state, count in counts.items() if count and state != "ok")
    speed = found["bytes"] / found["seconds"] / 1e9
    print(f"{total} files: {counts['ok']} ok{', ' + faults if faults else ''}")
    print(f"{found['bytes'] / 1e6:.1f} MB read in {found['seconds']:.2f} s ({speed:.2f} GB/s)")
    for note in found["notes"]:
        print(f"note: {plain(note)}")
    if found["upstream_of_report"]:
        print(f"upstream of report.html  {found['upstream_of_report']}  (the report shows it)")
    print(f"root digest              {found['root']}")
    if found["expected"] and found["expected"] != found["root"]:
        print(f"expected                 {found['expected']}: the folder has changed since this digest was taken")
