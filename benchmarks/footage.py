"""How often the tags of real footage are right: results against tags that plainly apply.

    python benchmarks/footage.py RESULTS/tags.jsonl FILES.tsv

FILES.tsv has the columns `file` and `tags_that_plainly_apply` (separated by semicolons). Tags that are not in the
model's vocabulary are left out of the count of what could be found, and listed.
"""

from __future__ import annotations

import csv
import json
import os
import sys
from pathlib import Path


def main(results: str, labels: str) -> None:
    run = json.loads(Path(results).with_name("run.json").read_text())
    vocabulary = set(run["model"]["vocabulary"])
    with open(labels, newline="") as lines:
        plain = {
            os.path.basename(row["file"]): set(row["tags_that_plainly_apply"].split(";")) - {""}
            for row in csv.DictReader(lines, delimiter="\t")
        }
    found = could = kept = 0
    print("| film | kept tags, strongest first | plainly applying, missed |\n|---|---|---|")
    for line in Path(results).read_text().splitlines():
        row = json.loads(line)
        name = os.path.basename(row["uri"])
        apply = plain.get(name, set())
        if not apply:
            continue
        tags = [tag["tag"] for tag in row["tags"]]
        missed = [f"{tag}{'' if tag in vocabulary else ' (not known)'}" for tag in sorted(apply - set(tags))]
        print(f"| {name} | {', '.join(f'**{t}**' if t in apply else t for t in tags)} | {', '.join(missed)} |")
        found += len(apply & set(tags))
        could += len(apply & vocabulary)
        kept += len(tags)
    print(f"\nKept: {found} of the {could} tags that plainly apply and that the model knows.")
    print(f"Plainly right: {found} of the {kept} kept tags.")


if __name__ == "__main__":
    main(*sys.argv[1:])
