"""Listing: which tags a film has, by one rule for catalogue, cards, pages, search, exports and the terminal.

The rule goes by a setting between 0 and 1, how sure the model must be. A tag's rating is its confidence; where the
model says none, it is the relative strength R (equation 6), as in the short list. A run lists by a setting of its own,
the threshold, and by whatever else its options say: that is the film's short list. So a film has

- at the threshold: the tags of its short list;
- below it: these, and the tags whose rating is at least the setting;
- above it: those of its short list whose rating is at least the setting.

What a person says of a tag holds at every setting. All is said by one number a tag, its level: a film has a tag at
every setting up to its level.
"""

from __future__ import annotations

from movie_tags.records import PERSON, Film, TagStrength

THRESHOLD, RELATIVE = 0.25, 0.1
"""What a run lists from where run.json does not say: a confidence; a relative strength."""
MILLIONTH = 1e-6


def threshold_of(run: dict | None) -> float:
    """The setting by which a run listed, by what its run.json says: the least confidence, or else R."""
    method = (run or {}).get("method")
    if not isinstance(method, dict):
        return THRESHOLD
    sure, strong = (method.get(name) for name in ("min_confidence", "min_relative_strength"))
    if isinstance(sure, int | float):
        return float(sure)
    return float(strong) if isinstance(strong, int | float) else RELATIVE


def rating(tag: TagStrength) -> float:
    """What a tag is listed by, in [0, 1]: the confidence, or else the relative strength."""
    return tag.relative_strength if tag.confidence is None else tag.confidence


def level(tag: TagStrength, in_short_list: bool, threshold: float = THRESHOLD) -> float:
    """The highest setting at which a film has a tag; below 0 if there is none.

    Args:
        tag: the tag.
        in_short_list: the run put it on the film's short list.
        threshold: the run's own setting.
    """
    if tag.by == PERSON:
        return 1.0 if in_short_list else -1.0
    return max(rating(tag), threshold) if in_short_list else min(rating(tag), threshold - MILLIONTH)


def levels(film: Film, threshold: float = THRESHOLD) -> tuple[tuple[TagStrength, float], ...]:
    """All tags of a film with their levels: what people say first, the surest, the longest seen, by name."""
    said = {tag.tag for tag in film.short_list}
    tags = {tag.tag: tag for tag in (*film.tags, *film.short_list)}.values()
    found = [(tag, level(tag, tag.tag in said, threshold)) for tag in tags]
    return tuple(sorted(found, key=_order))


def _order(pair: tuple[TagStrength, float]) -> tuple:
    tag, highest = pair
    return tag.by != PERSON or highest < 0, -rating(tag), -tag.seconds, tag.tag


def listed(film: Film, setting: float | None = None, threshold: float = THRESHOLD) -> tuple[TagStrength, ...]:
    """The tags that a film has at a setting, the surest first.

    Args:
        film: the film.
        setting: how sure the model must be, in [0, 1]; None: as the run listed, the short list.
        threshold: the run's own setting.
    """
    least = threshold if setting is None else setting
    return tuple(tag for tag, highest in levels(film, threshold) if highest >= least)


def millionths(share: float) -> int:
    """A level or setting in whole millionths, rounded down: what scripts of pages compare; negative below 0."""
    return round(share * 1e9) // 1000


def rating_in_sql(tag: str) -> str:
    """`rating` in DuckDB's SQL. Args: `tag`: a struct with the columns of TagStrength; of null it is null."""
    return f"coalesce({tag}.confidence, {tag}.relative_strength)"


def tag_in_sql(tag: str, setting: float | None = None, threshold: float = THRESHOLD) -> str:
    """The rule in DuckDB's SQL: over a row of films, the struct of a tag that the film has at a setting, or null.

    Args:
        tag: a literal of SQL.
        setting, threshold: as of `listed`.
    """
    enough = "TRUE" if setting is None else f"{rating_in_sql('x')} >= {float(setting)!r}"
    person = f"x.\"by\" IS NOT DISTINCT FROM '{PERSON}'"
    above = f" AND ({enough} OR {person})" if setting is not None and setting > threshold else ""
    in_list = f"list_filter(short_list, lambda x: x.tag = {tag}{above})[1]"
    if setting is None or setting >= threshold:
        return in_list
    return f"coalesce({in_list}, list_filter(tags, lambda x: x.tag = {tag} AND {enough} AND NOT {person})[1])"
