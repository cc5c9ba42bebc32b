(() => {
  const $ = (id) => document.getElementById(id);
  const make = (name, properties = {}, ...inside) => {
    const element = Object.assign(document.createElement(name), properties);
    element.append(...inside);
    return element;
  };
  const breakable = (title) => title.split(/(?<=[_.\/-])(?=[^_.\/-])/).flatMap((part) => [part, make("wbr")]);
  const data = JSON.parse($("data").textContent);
  const PAGE = 60, SHOWN_TAGS = 3, ROWS = 100, ALL = 1e6;
  const typed = typing(data), { fold, either } = typed;
  const number = (n) => n.toLocaleString("en");

  // Failures, a hundred at a time.
  let told = 0;
  const tell = () => {
    const next = data.failures.slice(told, told + ROWS);
    $("reasons").append(...next.map(([uri, stage, reason, retryable]) => make("tr", {},
      make("td", { textContent: uri || "the run" }),
      make("td", { textContent: (stage ? stage + ": " : "") + reason + (retryable ? " (another run may succeed)" : "") }))));
    told += next.length;
    $("more").hidden = told >= data.failures.length;
  };
  if (data.failures.length) { tell(); $("more").addEventListener("click", tell); }
  if (!data.films.length) return;

  // A film has a tag at every setting up to its level (results/listing.py); tags come with the surest first.
  const FIELDS = 5, KINDS = ["sure", "relative", "person"];
  const films = data.films.map(([title, name, pictured, seconds, shots, trouble, flat]) => {
    const tags = new Map();
    for (let i = 0; i < flat.length; i += FIELDS)
      tags.set(flat[i], { level: flat[i + 1], rating: flat[i + 2], kind: KINDS[flat[i + 3]], seconds: flat[i + 4] });
    return { title, name, pictured, seconds, shots, trouble, tags, folded: " " + fold(title) };
  });
  const has = (film, tag) => film.tags.has(tag) && film.tags.get(tag).level >= asked.min;
  const listed = (film) => [...film.tags.keys()].filter((tag) => has(film, tag));
  const percent = (rating) => (rating > 0 && rating < ALL / 100 ? "< 1 %" : rating > 0.99 * ALL && rating < ALL ? "> 99 %" : `${Math.round(rating / (ALL / 100))} %`);
  // As `relative` of report/phrases.py: never a bare 0.00.
  const relative = (rating) => (rating <= 0 ? "0 (weakest)" : rating < ALL / 200 ? "< 0.01" : (rating / ALL).toFixed(2));
  const sure = ({ rating, kind }) => ({
    sure: `${percent(rating)} sure`, relative: `strength ${relative(rating)}`, person: "said by a person" }[kind]);
  const lasting = (seconds) => {
    const s = Math.round(seconds), h = Math.floor(s / 3600), m = Math.floor(s / 60) % 60, two = (n) => String(n).padStart(2, "0");
    return h ? `${h} h ${two(m)} min` : m ? `${m} min ${two(s % 60)} s` : `${s || Math.max(0.1, Math.round(10 * seconds) / 10)} s`;
  };
  const length = (seconds) => {
    const s = Math.round(seconds), two = (n) => String(n).padStart(2, "0");
    const h = Math.floor(s / 3600), m = Math.floor(s / 60) % 60;
    return h ? `${h}:${two(m)}:${two(s % 60)}` : `${m}:${two(s % 60)}`;
  };

  // What is asked for; it stands in the address, so that it can be kept, sent and come back to.
  const asked = { words: "", min: data.threshold, sort: "title", page: 0, all: new Set(), any: new Set(), none: new Set(), strange: [] };
  const GROUPS = ["all", "any", "none"];
  const sureness = (film) => [...asked.all, ...asked.any].reduce((sum, tag) => sum + (film.tags.get(tag)?.rating || 0), 0);
  const collator = new Intl.Collator(undefined, { numeric: true, sensitivity: "base" });
  const rank = new Map([...films].sort((a, b) => collator.compare(a.title, b.title)).map((film, i) => [film, i]));
  const byTitle = (a, b) => rank.get(a) - rank.get(b);
  const SORTS = {
    title: ["by title", byTitle],
    surest: ["surest of the chosen tags", (a, b) => b.at - a.at || byTitle(a, b)],
    longest: ["longest first", (a, b) => b.seconds - a.seconds || byTitle(a, b)],
    shortest: ["shortest first", (a, b) => a.seconds - b.seconds || byTitle(a, b)],
    shots: ["most shots first", (a, b) => b.shots - a.shots || byTitle(a, b)],
    tags: ["most tags first", (a, b) => b.count - a.count || byTitle(a, b)],
  };
  $("sort").append(...Object.entries(SORTS).map(([value, [text]]) => make("option", { value, textContent: text })));
  const tagNumber = new Map(data.tags.map((tag, i) => [tag, i]));

  const read = () => {
    const from = new URLSearchParams(location.hash.slice(1));
    asked.words = from.get("words") || "";
    const min = Math.round(ALL * Number(from.get("min") ?? NaN));
    asked.min = min >= 0 && min <= ALL ? min : data.threshold;
    asked.sort = from.get("sort") in SORTS ? from.get("sort") : "title";
    asked.page = Math.max(0, Number.parseInt(from.get("page") || "1", 10) - 1 || 0);
    for (const group of GROUPS)
      asked[group] = new Set(from.getAll(group).map((tag) => tagNumber.get(tag)).filter((tag) => tag !== undefined));
    asked.strange = GROUPS.flatMap((group) => from.getAll(group).filter((tag) => !tagNumber.has(tag)).map((tag) => [group, tag]));
  };
  const setting = () => (asked.min === data.threshold ? "" : String(asked.min / ALL));
  const write = () => {
    const to = new URLSearchParams();
    if (asked.words) to.set("words", asked.words);
    for (const group of GROUPS) for (const tag of asked[group]) to.append(group, data.tags[tag]);
    for (const [group, tag] of asked.strange) to.append(group, tag);
    if (setting()) to.set("min", setting());
    if (asked.sort !== "title") to.set("sort", asked.sort);
    if (asked.page) to.set("page", asked.page + 1);
    history.replaceState(null, "", "#" + to);
  };

  // A term holds where it is in the title, or names a tag of the film.
  const holds = (film, of) =>
    of.not ? !holds(film, of.not)
    : of.all ? of.all.every((part) => holds(film, part))
    : of.any ? of.any.some((part) => holds(film, part))
    : (of.phrase && film.folded.includes(of.phrase)) || of.tags.some((tag) => has(film, tag));

  // What must be said, so that nobody takes silence for an answer: of tags that no film has, and words that are none.
  const named = (tags) => `the tag${tags.length === 1 ? "" : "s"} ${either(tags.map((tag) => data.tags[tag]))}`;
  const missing = (tags) => {
    if (films.some((film) => tags.some((tag) => has(film, tag)))) return [];
    const held = new Set(), lower = films.filter((film) => tags.some((tag) => film.tags.get(tag)?.level >= 0)).length;
    for (const film of films) for (const tag of film.tags.keys()) if (has(film, tag)) held.add(tag);
    const near = typed.nearest(data.tags[tags[0]], (tag) => held.has(tag));
    return [`no film has ${named(tags)} at ${asked.min / (ALL / 100)} % or more` +
      (lower ? `, ${number(lower)} film${lower === 1 ? " has it" : "s have it"} at a lower setting` : "") +
      "; the model misses some, so this does not say that no film shows it" + (near.length ? `; the nearest tags that films have are ${either(near, "and")}` : "")];
  };
  const understood = () => {
    const said = [], wrong = asked.strange.map(([, tag]) => typed.unknown(tag));
    const { condition, terms = [], error } = asked.words.trim() ? typed.understand(asked.words) : {};
    if (error) wrong.push(error);
    for (const { of: { text, phrase, tags, whole }, negated } of terms) {
      if (tags.length) {
        if (tags.some((tag) => fold(data.tags[tag]) !== phrase)) said.push(`“${phrase}” finds titles, and the tag${tags.length === 1 ? "" : "s"} ${tags.map((tag) => data.tags[tag]).join(", ")}`);
        said.push(...missing(tags));
        continue;
      }
      const titled = phrase && films.some((film) => film.folded.includes(phrase)), why = typed.unknown(text);
      // A film that is not left out would seem to be free of what was misspelt: only a title in quotes is left out.
      const alone = `${why.endsWith("?") ? " As it is, it" : "; it"} ${negated ? "leaves out" : "finds"} titles alone`;
      if (titled && (!negated || (whole && why.startsWith("no tag")))) said.push(why + alone);
      else wrong.push(why + (titled && negated && !whole ? ` To leave out titles, write -"${text}"` : ""));
    }
    for (const group of GROUPS) for (const tag of asked[group]) said.push(...missing([tag]));
    return { condition, said: [...new Set(said)], wrong: [...new Set(wrong)] };
  };

  const find = () => {
    const { condition, said, wrong } = understood();
    const all = [...asked.all], any = [...asked.any], none = [...asked.none];
    $("meant").hidden = !said.length && !wrong.length;
    $("meant").textContent = (wrong.length ? wrong.map((why) => "Not searched: " + why) : said).join("\n");
    $("meant").className = wrong.length ? "screen notice bad" : "screen";
    return wrong.length ? null : films.filter((film) =>
      (!condition || holds(film, condition)) &&
      all.every((tag) => has(film, tag)) &&
      (!any.length || any.some((tag) => has(film, tag))) &&
      !none.some((tag) => has(film, tag)));
  };

  // The tags, counted over what is found.
  const buttons = data.tags.slice(0, data.present).map((tag, i) => {
    const button = make("button", { type: "button" }, make("span", { textContent: tag }), make("small"));
    button.addEventListener("click", () => toggle(i));
    return button;
  });
  $("tags").append(...buttons.map((button) => make("li", {}, button)));
  const groupOf = (tag) => GROUPS.find((group) => asked[group].has(tag));
  const toggle = (tag) => {
    const mode = document.querySelector("[name=mode]:checked").value;
    const before = groupOf(tag);
    for (const group of GROUPS) asked[group].delete(tag);
    if (before !== mode) asked[mode].add(tag);
    change();
  };

  const said = (film, tag) => {
    const it = film.tags.get(tag);
    return it.seconds || it.kind !== "person" ? `${sure(it)}, ${lasting(it.seconds)}` : sure(it);
  };
  const card = (film) => {
    const still = make("div", { className: "still" }, film.pictured ? "" : "no picture");
    if (film.pictured) {
      const img = make("img", { loading: "lazy", decoding: "async", alt: "", src: `pictures/${film.name}.jpg` });
      img.addEventListener("error", () => { img.remove(); still.prepend("no picture"); });
      still.append(img);
    }
    still.append(make("span", { className: "length", textContent: length(film.seconds) }));
    const at = setting() ? "#min=" + setting() : "";
    const link = make("a", { href: `films/${film.name}.html${at}` }, still, make("h3", {}, ...breakable(film.title)));
    const own = listed(film);
    const wanted = [...asked.all, ...asked.any].filter((tag) => has(film, tag));
    const shown = [...wanted, ...own.filter((tag) => !wanted.includes(tag)).slice(0, Math.max(0, SHOWN_TAGS - wanted.length))];
    if (shown.length)
      link.append(make("dl", {}, ...shown.flatMap((tag) => [
        make("dt", { textContent: data.tags[tag], className: wanted.includes(tag) ? "hit" : "" }),
        make("dd", { textContent: said(film, tag), title: said(film, tag) + (film.tags.get(tag).seconds ? ` of ${lasting(film.seconds)}` : "") }),
      ])));
    else link.append(make("p", { textContent: "nothing that the model is sure of" }));
    if (own.length > shown.length) link.append(make("p", { textContent: `and ${number(own.length - shown.length)} more` }));
    if (film.trouble) link.append(make("div", { className: "flag", textContent: "⚠ has warnings" }));
    const item = make("li", {}, link);
    item.dataset.tags = own.map((tag) => data.tags[tag]).join("\n");
    return item;
  };

  const draw = () => {
    const answer = find(), found = answer || [];
    const counts = new Array(data.tags.length).fill(0);
    for (const film of found) {
      film.at = sureness(film);
      film.count = 0;
      for (const [tag, { level }] of film.tags) if (level >= asked.min) { counts[tag]++; film.count++; }
    }
    found.sort(SORTS[asked.sort][1]);
    const pages = Math.max(1, Math.ceil(found.length / PAGE));
    asked.page = Math.min(asked.page, pages - 1);

    buttons.forEach((button, tag) => {
      const group = groupOf(tag);
      button.lastChild.textContent = answer ? number(counts[tag]) : "–";
      button.setAttribute("aria-pressed", Boolean(group));
      button.setAttribute("aria-label", `${data.tags[tag]}, ${answer ? number(counts[tag]) : "not searched"}${group ? ", in: " + group + " of" : ""}`);
      if (group) button.dataset.in = group; else delete button.dataset.in;
      button.classList.toggle("empty", Boolean(answer) && !counts[tag] && !group);
    });

    $("films").replaceChildren(...found.slice(asked.page * PAGE, (asked.page + 1) * PAGE).map(card));
    $("nothing").hidden = !answer || found.length > 0;
    const picked = $("picked");
    while (picked.children.length > 1) picked.lastChild.remove();
    $("count").textContent = !answer ? "not searched" : found.length === films.length ? `${number(films.length)} film${films.length === 1 ? "" : "s"}` : `${number(found.length)} of ${number(films.length)} films`;
    const pick = (group, name, takeAway) => {
      const button = make("button", { type: "button", className: group, textContent: { all: "", any: "or ", none: "not " }[group] + name + " ✕" });
      button.setAttribute("aria-label", `Take away: ${group} of ${name}`);
      button.addEventListener("click", () => { takeAway(); change(); });
      picked.append(button);
    };
    for (const group of GROUPS) for (const tag of asked[group]) pick(group, data.tags[tag], () => asked[group].delete(tag));
    for (const strange of asked.strange) pick(...strange, () => { asked.strange = asked.strange.filter((one) => one !== strange); });
    if (picked.children.length > 1 || asked.words) {
      const clear = make("button", { type: "button", textContent: "Start again" });
      clear.addEventListener("click", () => { for (const group of GROUPS) asked[group].clear(); asked.strange = []; asked.words = ""; change(); });
      picked.append(clear);
    }
    document.querySelector(".pages").hidden = pages === 1;
    $("page").textContent = `page ${asked.page + 1} of ${number(pages)}`;
    $("back").disabled = asked.page === 0;
    $("next").disabled = asked.page === pages - 1;
    if ($("words").value !== asked.words) $("words").value = asked.words;
    const least = asked.min / (ALL / 100);
    $("min").value = least;
    $("least").textContent = `${Math.round(least * 10) / 10} %`;
    $("sort").value = asked.sort;
  };
  const change = (page = 0) => { asked.page = page; draw(); write(); };
  $("words").addEventListener("input", () => { asked.words = $("words").value; change(); });
  $("min").addEventListener("input", () => { asked.min = Math.round($("min").value * (ALL / 100)); change(); });
  $("sort").addEventListener("change", () => { asked.sort = $("sort").value; change(); });
  const turn = (by) => { change(asked.page + by); $("films").querySelector("a")?.focus({ preventScroll: true }); scrollTo(0, 0); };
  $("back").addEventListener("click", () => turn(-1));
  $("next").addEventListener("click", () => turn(1));
  addEventListener("hashchange", () => { read(); draw(); });
  if (matchMedia("(max-width: 56rem)").matches) document.querySelector(".tagpick").open = false;
  read();
  draw();
})();
