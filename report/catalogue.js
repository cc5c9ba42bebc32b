"use strict";
(() => {
  const $ = (id) => document.getElementById(id);
  const make = (name, properties = {}, ...inside) => {
    const element = Object.assign(document.createElement(name), properties);
    element.append(...inside);
    return element;
  };
  const breakable = (title) => title.split(/(?<=[_.\/-])(?=[^_.\/-])/).flatMap((part) => [part, make("wbr")]);
  const data = JSON.parse($("data").textContent);
  const PAGE = 60, SHOWN_TAGS = 3, ROWS = 100;
  const fold = (text) => text.normalize("NFKD").replace(/\p{M}/gu, "").toLowerCase();
  const number = (n) => n.toLocaleString("en");

  // Failures, a hundred at a time.
  let told = 0;
  const tell = () => {
    const next = data.failures.slice(told, told + ROWS);
    $("reasons").append(...next.map(([uri, stage, reason, again]) => make("tr", {},
      make("td", { textContent: uri || "the run" }),
      make("td", { textContent: (stage ? stage + ": " : "") + reason + (again ? " (another run may succeed)" : "") }))));
    told += next.length;
    $("more").hidden = told >= data.failures.length;
  };
  if (data.failures.length) { tell(); $("more").addEventListener("click", tell); }
  if (!data.films.length) return;

  const films = data.films.map(([title, name, pictured, seconds, shots, kept, trouble, tags]) => {
    const strengths = new Map();
    for (let i = 0; i < tags.length; i += 2) strengths.set(tags[i], tags[i + 1]);
    return { title, name, pictured, seconds, shots, kept, trouble, tags, strengths, folded: fold(title) };
  });
  const length = (seconds) => {
    const s = Math.round(seconds), two = (n) => String(n).padStart(2, "0");
    const h = Math.floor(s / 3600), m = Math.floor(s / 60) % 60;
    return h ? `${h}:${two(m)}:${two(s % 60)}` : `${m}:${two(s % 60)}`;
  };

  // What is asked for; it stands in the address, so that it can be kept, sent and come back to.
  const asked = { words: "", min: 100, sort: "title", page: 0, all: new Set(), any: new Set(), none: new Set() };
  const GROUPS = ["all", "any", "none"];
  const strength = (film) => {
    const wanted = [...asked.all, ...asked.any];
    return wanted.length ? wanted.reduce((sum, tag) => sum + (film.strengths.get(tag) || 0), 0) : 0;
  };
  const collator = new Intl.Collator(undefined, { numeric: true, sensitivity: "base" });
  const rank = new Map([...films].sort((a, b) => collator.compare(a.title, b.title)).map((film, i) => [film, i]));
  const byTitle = (a, b) => rank.get(a) - rank.get(b);
  const SORTS = {
    title: ["by title", byTitle],
    strength: ["strongest in the chosen tags", (a, b) => b.at - a.at || byTitle(a, b)],
    longest: ["longest first", (a, b) => b.seconds - a.seconds || byTitle(a, b)],
    shortest: ["shortest first", (a, b) => a.seconds - b.seconds || byTitle(a, b)],
    shots: ["most shots first", (a, b) => b.shots - a.shots || byTitle(a, b)],
    tags: ["most tags first", (a, b) => b.kept - a.kept || byTitle(a, b)],
  };
  $("sort").append(...Object.entries(SORTS).map(([value, [text]]) => make("option", { value, textContent: text })));
  const tagNumber = new Map(data.tags.map((tag, i) => [tag, i]));

  const read = () => {
    const from = new URLSearchParams(location.hash.slice(1));
    asked.words = from.get("words") || "";
    const min = Number(from.get("min") ?? 0.1);
    asked.min = Math.round(1000 * (min >= 0 && min <= 1 ? min : 0.1));
    asked.sort = from.get("sort") in SORTS ? from.get("sort") : "title";
    asked.page = Math.max(0, Number.parseInt(from.get("page") || "1", 10) - 1 || 0);
    for (const group of GROUPS)
      asked[group] = new Set(from.getAll(group).map((tag) => tagNumber.get(tag)).filter((tag) => tag !== undefined));
  };
  const write = () => {
    const to = new URLSearchParams();
    if (asked.words) to.set("words", asked.words);
    for (const group of GROUPS) for (const tag of asked[group]) to.append(group, data.tags[tag]);
    if (asked.min !== 100) to.set("min", asked.min / 1000);
    if (asked.sort !== "title") to.set("sort", asked.sort);
    if (asked.page) to.set("page", asked.page + 1);
    history.replaceState(null, "", "#" + to);
  };

  const has = (film, tag) => film.strengths.has(tag) && film.strengths.get(tag) >= asked.min;
  const find = () => {
    const words = fold(asked.words).split(/\s+/).filter(Boolean);
    const all = [...asked.all], any = [...asked.any], none = [...asked.none];
    return films.filter((film) =>
      words.every((word) => film.folded.includes(word)) &&
      all.every((tag) => has(film, tag)) &&
      (!any.length || any.some((tag) => has(film, tag))) &&
      !none.some((tag) => has(film, tag)));
  };

  // The tags, counted over what is found.
  const buttons = data.tags.map((tag, i) => {
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

  const card = (film) => {
    const still = make("div", { className: "still" }, film.pictured ? "" : "no picture");
    if (film.pictured) {
      const img = make("img", { loading: "lazy", decoding: "async", alt: "", src: `pictures/${film.name}.jpg` });
      img.addEventListener("error", () => { img.remove(); still.prepend("no picture"); });
      still.append(img);
    }
    still.append(make("span", { className: "length", textContent: length(film.seconds) }));
    const link = make("a", { href: `films/${film.name}.html` }, still, make("h3", {}, ...breakable(film.title)));
    const wanted = [...asked.all, ...asked.any].filter((tag) => has(film, tag));
    const own = film.tags.filter((_, i) => i % 2 === 0).slice(0, film.kept).filter((tag) => !wanted.includes(tag));
    const shown = [...wanted, ...own.slice(0, Math.max(0, SHOWN_TAGS - wanted.length))];
    if (shown.length)
      link.append(make("dl", {}, ...shown.flatMap((tag) => {
        const bar = make("i");
        bar.style.width = film.strengths.get(tag) / 10 + "%";
        const value = make("dd", {}, bar);
        value.setAttribute("aria-label", (film.strengths.get(tag) / 1000).toFixed(2));
        value.title = "relative strength " + (film.strengths.get(tag) / 1000).toFixed(2);
        return [make("dt", { textContent: data.tags[tag], className: wanted.includes(tag) ? "hit" : "" }), value];
      })));
    else link.append(make("p", { textContent: "nothing that the model is sure of" }));
    if (film.trouble) link.append(make("div", { className: "flag", textContent: "⚠ has warnings" }));
    return make("li", {}, link);
  };

  const draw = () => {
    const found = find();
    for (const film of found) film.at = strength(film);
    found.sort(SORTS[asked.sort][1]);
    const pages = Math.max(1, Math.ceil(found.length / PAGE));
    asked.page = Math.min(asked.page, pages - 1);

    const counts = new Array(data.tags.length).fill(0);
    for (const film of found) for (const [tag, value] of film.strengths) if (value >= asked.min) counts[tag]++;
    buttons.forEach((button, tag) => {
      const group = groupOf(tag);
      button.lastChild.textContent = number(counts[tag]);
      button.setAttribute("aria-pressed", Boolean(group));
      button.setAttribute("aria-label", `${data.tags[tag]}, ${number(counts[tag])}${group ? ", in: " + group + " of" : ""}`);
      if (group) button.dataset.in = group; else delete button.dataset.in;
      button.classList.toggle("empty", !counts[tag] && !group);
    });

    $("films").replaceChildren(...found.slice(asked.page * PAGE, (asked.page + 1) * PAGE).map(card));
    $("nothing").hidden = found.length > 0;
    const picked = $("picked");
    while (picked.children.length > 1) picked.lastChild.remove();
    $("count").textContent = found.length === films.length ? `${number(films.length)} film${films.length === 1 ? "" : "s"}` : `${number(found.length)} of ${number(films.length)} films`;
    for (const group of GROUPS)
      for (const tag of asked[group]) {
        const button = make("button", { type: "button", className: group, textContent: { all: "", any: "or ", none: "not " }[group] + data.tags[tag] + " ✕" });
        button.setAttribute("aria-label", `Take away: ${group} of ${data.tags[tag]}`);
        button.addEventListener("click", () => { asked[group].delete(tag); change(); });
        picked.append(button);
      }
    if (picked.children.length > 1 || asked.words) {
      const clear = make("button", { type: "button", textContent: "Start again" });
      clear.addEventListener("click", () => { for (const group of GROUPS) asked[group].clear(); asked.words = ""; change(); });
      picked.append(clear);
    }
    document.querySelector(".pages").hidden = pages === 1;
    $("page").textContent = `page ${asked.page + 1} of ${number(pages)}`;
    $("back").disabled = asked.page === 0;
    $("next").disabled = asked.page === pages - 1;
    if ($("words").value !== asked.words) $("words").value = asked.words;
    $("min").value = asked.min / 1000;
    $("least").textContent = (asked.min / 1000).toFixed(2);
    $("sort").value = asked.sort;
  };
  const change = (page = 0) => { asked.page = page; draw(); write(); };
  $("words").addEventListener("input", () => { asked.words = $("words").value; change(); });
  $("min").addEventListener("input", () => { asked.min = Math.round(1000 * $("min").value); change(); });
  $("sort").addEventListener("change", () => { asked.sort = $("sort").value; change(); });
  const turn = (by) => { change(asked.page + by); $("films").querySelector("a")?.focus({ preventScroll: true }); scrollTo(0, 0); };
  $("back").addEventListener("click", () => turn(-1));
  $("next").addEventListener("click", () => turn(1));
  addEventListener("hashchange", () => { read(); draw(); });
  if (matchMedia("(max-width: 56rem)").matches) document.querySelector(".tagpick").open = false;
  read();
  draw();
})();
