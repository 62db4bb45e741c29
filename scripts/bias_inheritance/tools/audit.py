"""Verify every file of a study's results against its record, the code and the configuration.

Lists files that are tampered, missing, extra, stale or broken, and prints one root digest of the whole folder. The exit
status is 0 only if every file is ok. Needs only Python. Changes nothing in the results; if the configuration has
changed, Snakemake may regenerate .work/STUDY/plan.json.
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
        report = audit(arguments.results, arguments.expect)
    except UserError as fault:
        sys.exit(f"audit: {fault}")
    if arguments.json:
        print(json.dumps(report, indent=1, ensure_ascii=False))
    else:
        show(report)
    sys.exit(0 if report["ok"] else 1)


def show(report):
    for name, verdict in report["files"].items():
        if verdict["state"] != "ok":
            print(f"{verdict['state']:9} {plain(name)}: {plain(verdict['why'])}")
    total, counts = sum(report["counts"].values()), report["counts"]
    faults = ", ".join(f"{count} {state}" for state, count in counts.items() if count and state != "ok")
    speed = report["bytes"] / report["seconds"] / 1e9
    print(f"{total} files: {counts['ok']} ok{', ' + faults if faults else ''}")
    print(f"{report['bytes'] / 1e6:.1f} MB read in {report['seconds']:.2f} s ({speed:.2f} GB/s)")
    for note in report["notes"]:
        print(f"note: {plain(note)}")
    if report["upstream_of_report"]:
        print(f"upstream of report.html  {report['upstream_of_report']}  (the report shows it)")
    print(f"root digest              {report['root']}")
    if report["expected"] and report["expected"] != report["root"]:
        print(f"expected                 {report['expected']}: the folder has changed since this digest was saved")
