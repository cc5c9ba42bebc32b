(() => {
  const box = $("review");
  let data = JSON.parse($("review-data").textContent);
  // What is spoken of: the whole film, or one key frame.
  let target = null; // seconds of a key frame; null: the film
  const placeOf = (start, end) => (start === null ? {} : { start_s: start, end_s: end });
  const verdictOf = (tag, start = null, end = start) =>
    data.verdicts.find((v) => v.tag === tag && v.start_s === start && v.end_s === end);

  const again = (tag) => {
    sessionStorage.setItem("review", JSON.stringify({ page: location.pathname, target, tag }));
    location.reload();
  };
  const judge = async (tag, verdict, start = target, end = start) => {
    const before = verdictOf(tag, start, end);
    const same = before && before.applies === (verdict === "applies");
    const reply = await ask("/api/corrections", { name: data.name, tag, verdict: same ? "withdrawn" : verdict, by: by(), ...placeOf(start, end) });
    if (reply) { data = reply; draw(tag); again(tag); }
  };
  const undo = async () => { // the last thing said, on whatever page
    const undone = await ask("/api/undo", { by: by() });
    if (undone?.name === data.name) again(null);
    else if (undone) showUndone(undone);
  };

  const buttons = (tag, start = target, end = start) => ["applies", "rejected"].map((verdict) => {
    const before = verdictOf(tag, start, end);
    const where = start === null ? "" : start === end ? ` at ${timecode(start)}` : ` from ${timecode(start)} to ${timecode(end)}`;
    const button = make("button", { type: "button", className: "verdict", textContent: verdict === "applies" ? "✓" : "✗" });
    button.dataset.v = verdict;
    button.setAttribute("aria-label", `${tag} ${verdict === "applies" ? "applies" : "does not apply"}${where}`);
    button.setAttribute("aria-pressed", Boolean(before && before.applies === (verdict === "applies")));
    button.addEventListener("click", () => judge(tag, verdict, start, end));
    return button;
  });
  const row = ({ tag, said: words, listed }) => {
    const item = make("li", { tabIndex: -1, className: listed ? "" : "unlisted" }, make("b", { textContent: tag }), ...buttons(tag));
    item.dataset.tag = tag;
    const one = verdictOf(tag, target);
    item.append(make("small", { textContent: (words || "") + (one ? ` · ${one.applies ? "confirmed" : "rejected"}${one.by ? " by " + one.by : ""}` : "") }));
    if (target === null)
      for (const [, start, end] of data.spans.filter((span) => span[0] === tag).slice(0, 8))
        item.append(make("span", { className: "stretch" }, `${timecode(start)}–${timecode(end)}`, ...buttons(tag, start, end)));
    return item;
  };
  const rows = () => {
    const shown = target === null ? [...data.tags]
      : (data.frames.find(([time]) => time === target)?.[1] || []).map((tag) => ({ tag, said: "", listed: true }));
    const own = data.verdicts.filter((v) => v.start_s === target && (target === null || v.end_s === target) && !shown.some(({ tag }) => tag === v.tag));
    return [...shown, ...own.map(({ tag }) => ({ tag, said: "", listed: false }))];
  };

  const name = make("input", { id: "by", value: data.by, maxLength: 200, autocomplete: "off" });
  const by = nameIn(name);
  const options = make("datalist", { id: "vocabulary" }, ...data.vocabulary.map((value) => make("option", { value })));
  const add = make("input", { id: "add", maxLength: 200, placeholder: "another tag, any word", autocomplete: "off" });
  add.setAttribute("list", "vocabulary");
  add.setAttribute("aria-label", "Another tag that applies");
  const form = make("form", { className: "line" }, add, options, make("button", { className: "quiet", textContent: "Add" }));
  form.addEventListener("submit", (event) => {
    event.preventDefault();
    if (add.value.trim()) judge(add.value.trim(), "applies");
  });
  const back = make("button", { type: "button", className: "quiet", id: "undo", textContent: "Undo" });
  back.addEventListener("click", undo);
  const list = make("ul", { id: "verdicts" });
  const of = make("span", { className: "target" });
  const whole = make("button", { type: "button", className: "quiet", textContent: "Speak of the whole film" });
  whole.addEventListener("click", () => aim(null));
  box.append(
    make("div", { className: "line" }, make("label", {}, "Your name ", name), back, make("a", { href: "/queue", textContent: "Most worth a look" }), make("a", { href: "/learn", textContent: "Learn" })),
    make("div", { className: "line" }, of, whole),
    list,
    form,
    make("div", { className: "line" }, make("span", { innerHTML: "<kbd>j</kbd> <kbd>k</kbd> next and previous tag, <kbd>y</kbd> applies, <kbd>n</kbd> does not, <kbd>a</kbd> another tag, <kbd>u</kbd> undo, <kbd>Esc</kbd> the whole film" })),
  );
  const draw = (tag = null) => {
    of.textContent = target === null ? "Of the whole film:" : `Of the picture at ${timecode(target)}:`;
    whole.hidden = target === null;
    list.replaceChildren(...rows().map(row));
    for (const item of document.querySelectorAll("#frames li")) item.classList.toggle("target", Number(item.dataset.time) === target && target !== null);
    if (tag) [...list.children].find((item) => item.dataset.tag === tag)?.focus({ preventScroll: true });
  };
  const aim = (time) => {
    target = time;
    draw();
    box.scrollIntoView({ block: "nearest" });
    list.firstChild?.focus({ preventScroll: true });
  };
  for (const item of document.querySelectorAll("#frames li")) {
    const time = Number(item.querySelector("[data-t]").dataset.t);
    item.dataset.time = time;
    const button = make("button", { type: "button", className: "quiet correct", textContent: "Correct" });
    button.setAttribute("aria-label", `Correct the picture at ${timecode(time)}`);
    button.addEventListener("click", () => aim(time));
    const alike = make("a", { className: "alike", href: `/scenes#like=${data.name}@${time}`, textContent: "More like this" });
    alike.setAttribute("aria-label", `Shots that look like the picture at ${timecode(time)}`);
    item.append(button, " ", alike);
  }
  listen(() => [...list.children], (item, verdict) => judge(item.dataset.tag, verdict), undo,
    { a: () => add.focus(), Escape: () => target !== null && aim(null) });
  const kept = JSON.parse(sessionStorage.getItem("review") || "null");
  sessionStorage.removeItem("review");
  if (kept?.page === location.pathname) target = kept.target;
  draw(kept?.page === location.pathname ? kept.tag : null);
})();
