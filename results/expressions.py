"""Expressions of tags, as people type them: parsed, and resolved to the tags of a vocabulary."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import pyparsing as pp

from movie_tags.errors import UserError
from movie_tags.results.synonyms import meanings, named, nearest


class SearchError(UserError):
    """A search that cannot be made; the message says what is wrong with it."""


@dataclass(frozen=True)
class Term:
    """Words that name a tag.

    Attributes:
        text: the words.
        tags: those of the vocabulary that they mean, any of which will do; none before `resolve`.
        quoted: they stood in quotes: one tag, whatever the words.
    """

    text: str
    tags: tuple[str, ...] = ()
    quoted: bool = False


@dataclass(frozen=True)
class Not:
    of: Expression


@dataclass(frozen=True)
class And:
    parts: tuple[Expression, ...]


@dataclass(frozen=True)
class Or:
    parts: tuple[Expression, ...]


Expression = Term | Not | And | Or


def _grammar() -> pp.ParserElement:
    and_, or_, not_ = (pp.Regex(rf"(?i){word}(?!\w)") for word in ("and", "or", "not"))
    both = and_ | pp.one_of("& + ,")
    either = or_ | pp.Literal("|")
    negated = not_ | pp.one_of("- !")
    reserved = and_ | or_ | not_
    quoted = pp.QuotedString('"') | pp.QuotedString("'")
    words = pp.OneOrMore(~reserved + pp.Regex(r"[^\s()\"'&+,|!-][^\s()\"&,|]*")).set_parse_action(
        lambda found: Term(" ".join(found))
    )
    quoted.set_parse_action(lambda found: Term(found[0].strip(), quoted=True))
    term = (quoted | words).set_name("a tag")
    all_of: Any = lambda found: And(tuple(map(_operand, (one for one in found[0] if not isinstance(one, str)))))  # noqa: E731
    return pp.infix_notation(
        term,
        [
            (negated, 1, pp.OpAssoc.RIGHT, lambda found: Not(_operand(found[0][1]))),
            (None, 2, pp.OpAssoc.LEFT, all_of),
            (both, 2, pp.OpAssoc.LEFT, all_of),
            (either, 2, pp.OpAssoc.LEFT, lambda found: Or(tuple(map(_operand, found[0][::2])))),
        ],
        pp.Literal("("),  # kept, for `_operand`
        pp.Literal(")"),
    )


def _operand(found: Any) -> Expression:
    """An operand; words side by side in parentheses are kept together, also behind a `not`."""
    if not isinstance(found, pp.ParseResults):
        return found
    inner = _operand(found[1])
    return And((inner,)) if isinstance(inner, Term) and not inner.quoted and " " in inner.text else inner


def parse(text: str) -> Expression:
    """Read an expression of tags, `and`, `or`, `not` and parentheses; `not` binds tightest, then `and`.

    As people type it, too: `-tag` is `not tag`, a comma is `and`, `|` is `or`. Words side by side are one term, as are
    words in quotes; see `resolve`.

    Raises:
        SearchError: it is none; the message says where it breaks off.
    """
    try:
        found = _grammar().parse_string(text, parse_all=True)
        return _operand(found if len(found) > 1 else found[0])  # parentheses around all may stand in no group
    except pp.ParseBaseException as error:
        rest = text[error.loc :].strip()
        where = f"at {rest!r}" if rest and rest != text.strip() else "at its end" if text.strip() else "it is empty"
        raise SearchError(
            f"{text!r} cannot be understood ({where}); write tags with and, or, not and parentheses, such as "
            "'beach and (children or family) and not violence', or just 'beach children -violence'"
        ) from error


def matching(term: str, vocabulary: Sequence[str]) -> tuple[str, ...]:
    """The tags that a term names, by themselves, by words of theirs or by synonyms; see `synonyms.named`.

    Raises:
        SearchError: there is none; the message names the nearest.
    """
    found = named(term, vocabulary)
    if found:
        return found
    elsewhere = [tag for tag in meanings(term) if tag not in vocabulary]
    if elsewhere:
        raise SearchError(f"the model of these results has no tag {elsewhere[0]}: it was not looked for")
    close = nearest(term, vocabulary)
    offer = ", ".join(close[:-1]) + (" or " if len(close) > 1 else "") + "".join(close[-1:])
    raise SearchError(f"no tag {term!r}; did you mean {offer}?")


def _is_named(term: str, vocabulary: Sequence[str]) -> bool:
    return bool(named(term, vocabulary))


def _is_meant(term: str, vocabulary: Sequence[str]) -> bool:
    return bool(meanings(term))


def in_terms(text: str, vocabulary: Sequence[str]) -> Expression:
    """What words side by side mean: the tag that they name together, or else several tags, all of which are wanted.

    From left to right, as many words as name a tag are one.

    Raises:
        SearchError: there is a word that names none.
    """
    words = text.split()
    parts: list[Term] = []
    while words:
        ahead = [" ".join(words[:n]) for n in range(len(words), 0, -1)]
        # As many words as name a tag of these results; or else of any model, which is said then.
        term = next((term for known in (_is_named, _is_meant) for term in ahead if known(term, vocabulary)), words[0])
        count = len(term.split())
        parts.append(Term(term, matching(term, vocabulary)))
        words = words[count:]
    return parts[0] if len(parts) == 1 else And(tuple(parts))


def _side_by_side(expression: Expression) -> bool:
    """Whether it is words side by side, not in parentheses, but for a `not` before them."""
    while isinstance(expression, Not):
        expression = expression.of
    return isinstance(expression, Term) and not expression.quoted


def resolve(expression: Expression, vocabulary: Sequence[str]) -> Expression:
    """The expression with the tags that its terms mean.

    Of words side by side that are several tags, `not` means the first: `-violence kids` is `not violence and kids`;
    `not (violence kids)` means all.

    Raises:
        SearchError: a term names none.
    """
    match expression:
        case Term(text, quoted=True):
            return Term(text, matching(text, vocabulary), True)
        case Term(text):
            return in_terms(text, vocabulary)
        case Not(of):
            found = resolve(of, vocabulary)
            if isinstance(found, And) and _side_by_side(of):
                return And((Not(found.parts[0]), *found.parts[1:]))
            return Not(found)
        case And((only,)):
            return resolve(only, vocabulary)
        case And(parts) | Or(parts):
            return type(expression)(tuple(resolve(part, vocabulary) for part in parts))


def terms_of(expression: Expression) -> tuple[Term, ...]:
    """The terms, in order of appearance."""
    match expression:
        case Term():
            return (expression,)
        case Not(of):
            return terms_of(of)
        case And(parts) | Or(parts):
            return tuple(term for part in parts for term in terms_of(part))


def tags_of(expression: Expression) -> tuple[str, ...]:
    """Every tag that the terms mean, once, in order of appearance."""
    return tuple(dict.fromkeys(tag for term in terms_of(expression) for tag in term.tags))
