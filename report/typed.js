"use strict";
// What is typed into the box, understood as `movie-tags search` does: results/expressions.py and results/synonyms.py.
const typing = (data) => {
  // Without case and accents of Latin letters, words parted by blanks.
  const fold = (text) => (text.toLowerCase().replaceAll("ß", "ss").normalize("NFKD").replace(/[\u0300-\u036f]/g, "")
    .match(/[^\s\/.,;:!?&+"'\u2019()_|-]+/g) || []).join(" ");
  const folded = data.tags.map(fold), nameWords = folded.map((name) => name.split(" ").filter(Boolean));
  const spoken = new Map(Object.entries(data.words)), elsewhere = new Map(Object.entries(data.elsewhere));

  const singulars = (phrase) => [phrase, ...[["ies", "y"], ["es", ""], ["s", ""]]
    .filter(([ending]) => phrase.endsWith(ending) && phrase.length > ending.length + 2)
    .map(([ending, single]) => phrase.slice(0, -ending.length) + single)];
  const known = (phrase) => singulars(phrase).find((form) => spoken.has(form) || elsewhere.has(form));
  const holding = (words) => [...folded.keys()].filter((tag) => words.length && words.every((word) => nameWords[tag].includes(word)));
  const named = (phrase) => singulars(phrase).map((form) => spoken.get(form) || holding(form.split(" ").filter(Boolean))).find((tags) => tags.length) || [];
  const lacking = (phrase) => elsewhere.get(known(phrase));
  const begunBy = (word) => (word.length < 3 ? [] : [...folded.keys()].filter((tag) => nameWords[tag].some((name) => name.startsWith(word))));

  // What is spelt most like a word: the ratio of Python's difflib, by Ratcliff and Obershelp.
  const matches = (a, b) => {
    let size = 0, atA = 0, atB = 0, before = [];
    for (let i = 0; i < a.length; i++) {
      const now = [];
      for (let j = 0; j < b.length; j++)
        if (a[i] === b[j] && (now[j] = (before[j - 1] || 0) + 1) > size) { size = now[j]; atA = i + 1 - size; atB = j + 1 - size; }
      before = now;
    }
    return size && size + matches(a.slice(0, atA), b.slice(0, atB)) + matches(a.slice(atA + size), b.slice(atB + size));
  };
  const names = () => {
    const found = new Map();
    const name = (as, tag, text) => found.has(as) || found.set(as, [tag, text]);
    data.tags.forEach((text, tag) => [folded[tag], ...nameWords[tag]].forEach((as) => name(as, tag, text)));
    data.tags.forEach((text, tag) => (data.english[tag] || []).forEach((word) => name(fold(word), tag, `${text} (${word})`)));
    return found;
  };
  let listed;
  const nearest = (text, among = () => true) => {
    listed ||= names();
    const b = [...fold(text)].slice(0, 100), byTag = new Map();
    const ratio = (name) => { const a = [...name]; return a.length + b.length ? (2 * matches(a, b)) / (a.length + b.length) : 1; };
    const close = [...listed].filter(([, [tag]]) => among(tag)).map(([name, said]) => [ratio(name), name, said])
      .sort((a, b) => b[0] - a[0] || (a[1] < b[1] ? 1 : -1)).slice(0, 24);
    for (const [, , [tag, said]] of close) if (!byTag.has(tag)) byTag.set(tag, said);
    return [...byTag.values()].slice(0, 3);
  };
  const either = (texts, joint = "or") => texts.slice(0, -1).join(", ") + (texts.length > 1 ? ` ${joint} ` : "") + texts.slice(-1).join("");
  const quote = (text) => (text.includes("'") && !text.includes('"') ? `"${text}"` : `'${text}'`);
  const unknown = (text) => {
    const tag = lacking(fold(text));
    return tag ? `the model of these results has no tag ${tag}: it was not looked for` : `no tag ${quote(text)}; did you mean ${either(nearest(text))}?`;
  };

  // A condition is {all: [...]}, {any: [...]}, {not: ...} or a term: {text, phrase, tags, whole}.
  const term = (text, whole) => ({ text, phrase: fold(text), tags: named(fold(text)), whole });
  const inTerms = (words) => {
    const parts = [];
    // Signs alone, as in a title, say nothing beside words.
    for (let rest = words.some(fold) ? words.filter(fold) : words; rest.length; ) {
      const ahead = rest.map((_, i) => rest.slice(0, rest.length - i).join(" "));
      const text = ahead.find((some) => named(fold(some)).length) || ahead.find((some) => lacking(fold(some))) || rest[0];
      parts.push(term(text, false));
      rest = rest.slice(text.split(" ").length);
    }
    return parts.length > 1 ? { all: parts, run: true } : parts[0];
  };
  const DEEPEST = 50;
  const parse = (text) => {
    let at = 0, deep = 0;
    const take = (pattern) => {
      pattern.lastIndex = at;
      const found = pattern.exec(text);
      if (found) at = pattern.lastIndex;
      return found;
    };
    const AND = /\s*(?:and(?![\p{L}\p{N}_])|[&+,])/iuy, OR = /\s*(?:or(?![\p{L}\p{N}_])|\|)/iuy, NOT = /\s*(?:not(?![\p{L}\p{N}_])|[-!])/iuy;
    const QUOTED = /\s*(?:"([^"\r\n]*)"|'([^'\r\n]*)')/uy, OPEN = /\s*\(/y, CLOSE = /\s*\)/y, AHEAD = /\s*(?=[^\s&+,|)])/uy;
    const WORD = /\s*((?!(?:and|or|not)(?![\p{L}\p{N}_]))[^\s()"'&+,|!-][^\s()"&,|]*)/iuy;
    const fail = () => {
      take(/\s*/y);
      throw Object.assign(new Error(), { rest: text.slice(at).trim() });
    };
    const operand = () => {
      if (++deep > DEEPEST) fail();
      let found;
      if (take(NOT)) {
        const of = operand();
        found = of.run ? { ...of, all: [{ not: of.all[0] }, ...of.all.slice(1)] } : { not: of };
      } else if (take(OPEN)) {
        found = { ...anyOf(), run: false };
        if (!take(CLOSE)) fail();
      } else if ((found = take(QUOTED))) found = term((found[1] ?? found[2]).trim(), true);
      else {
        const words = [];
        for (let word; (word = take(WORD)); ) words.push(word[1]);
        if (!words.length) fail();
        found = inTerms(words);
      }
      deep--;
      return found;
    };
    const several = (kind, parts) => (parts.length > 1 ? { [kind]: parts } : parts[0]);
    const reserved = /\s*(?:and|or)(?![\p{L}\p{N}_])/iuy;
    const more = () => { const before = at, ends = take(reserved) || !take(AHEAD); at = before; return !ends; };
    const beside = () => { const parts = [operand()]; while (more()) parts.push(operand()); return several("all", parts); };
    const allOf = () => { const parts = [beside()]; while (take(AND)) parts.push(beside()); return several("all", parts); };
    const anyOf = () => { const parts = [allOf()]; while (take(OR)) parts.push(allOf()); return several("any", parts); };
    const found = anyOf();
    if (/\S/.test(text.slice(at))) fail();
    return found;
  };
  const terms = (of, negated = false) => of.not ? terms(of.not, !negated)
    : of.all || of.any ? (of.all || of.any).flatMap((part) => terms(part, negated)) : [{ of, negated }];

  /** What a text asks for: {condition, terms: [{of: a term, negated}]}, or {error: what is wrong with it}. */
  const understand = (text) => {
    try {
      const condition = parse(text), found = terms(condition), last = found.at(-1).of;
      // Perhaps a tag that is still being typed.
      if (!last.whole && !last.tags.length && !lacking(last.phrase) && /[^\s)]$/.test(text)) last.tags = begunBy(last.phrase);
      return { condition, terms: found };
    } catch (error) {
      if (error.rest === undefined) throw error;
      const where = error.rest && error.rest !== text.trim() ? `at ${quote(error.rest)}` : "at its end";
      return { error: `${quote(text)} cannot be understood (${where}); write tags with and, or, not and parentheses, such as 'beach and (children or family) and not violence', or just 'beach children -violence'` };
    }
  };
  return { fold, nearest, either, unknown, understand };
};
