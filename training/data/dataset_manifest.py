"""The manifest of a data set: what is in it, what was dropped and why, how it was made."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Mapping, Sequence

from movie_tags.training.data.dataset import SPLITS, Entry, order_tags


def make_manifest(
    entries: Sequence[Entry],
    same: Mapping[str, str],
    duplicates: Mapping[str, str],
    dropped: Sequence[tuple[str, str]],
    options: dict,
) -> dict:
    """Counts by tag, source and split; what was dropped and why; how the data set was made."""
    by_tag: dict[str, Counter] = defaultdict(Counter)
    by_source: dict[str, Counter] = defaultdict(Counter)
    sources_of: dict[str, set] = defaultdict(set)
    for entry in entries:
        by_source[entry.source][entry.split] += 1
        for tag in entry.tags:
            by_tag[tag][entry.split] += 1
            sources_of[tag].add(entry.source)
    return {
        "pictures": {split: sum(entry.split == split for entry in entries) for split in SPLITS},
        "several_tags": sum(len(entry.tags) > 1 for entry in entries),
        "complete": sum(entry.complete for entry in entries),
        "nothing": sum(entry.complete and not entry.tags for entry in entries),
        "tags": {
            tag: {**{split: by_tag[tag][split] for split in SPLITS}, "sources": len(sources_of[tag])}
            for tag in order_tags(by_tag)
        },
        "sources": {source: dict(counts) for source, counts in sorted(by_source.items())},
        "dropped": {
            "same_picture": [{"id": id, "kept": kept} for id, kept in sorted(same.items())],
            "near_duplicates": [{"id": id, "kept": kept} for id, kept in sorted(duplicates.items())],
            "unusable": [{"id": id, "reason": reason} for id, reason in dropped],
        },
        "made_with": options,
    }


def manifest_text(manifest: dict) -> str:
    """The manifest for people, in Markdown."""
    dropped = manifest["dropped"]
    lines = [
        "# Data set",
        "",
        f"{sum(manifest['pictures'].values())} pictures: "
        + ", ".join(f"{n} {split}" for split, n in manifest["pictures"].items())
        + f"; {manifest['several_tags']} of them with several tags, {manifest['complete']} labelled completely, "
        f"{manifest['nothing']} without any tag.",
        f"{len(dropped['same_picture'])} files were a picture that stands elsewhere, too; their tags were joined. "
        f"Dropped: {len(dropped['near_duplicates'])} near-duplicates, {len(dropped['unusable'])} unusable.",
        "",
        "| tag | train | validation | test | sources |",
        "|---|---|---|---|---|",
        *(
            f"| {tag} | {row['train']} | {row['validation']} | {row['test']} | {row['sources']} |"
            for tag, row in manifest["tags"].items()
        ),
        "",
        "| source | train | validation | test |",
        "|---|---|---|---|",
        *(
            f"| {source} | " + " | ".join(str(row.get(split, 0)) for split in SPLITS) + " |"
            for source, row in manifest["sources"].items()
        ),
        "",
        *(["Unusable:", ""] if dropped["unusable"] else []),
        *(f"- {item['id']}: {item['reason']}" for item in dropped["unusable"]),
        *(["", "Near-duplicates:", ""] if dropped["near_duplicates"] else []),
        *(f"- {item['id']}: like {item['kept']}" for item in dropped["near_duplicates"]),
    ]
    return "\n".join(lines).rstrip() + "\n"
