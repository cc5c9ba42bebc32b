(() => {
  // Learning: what goes on is the server's to know, so that a page may be closed meanwhile.
  const WORK = { learn: ["Learning", "steps"], retag: ["Tagging again", "films"] };
  const ENDS = {
    learn: { done: "A model has learned.", refused: "The model would be worse, so it was not written.", stopped: "Stopped: nothing was learned." },
    retag: { stopped: "Stopped: what was finished is in the results." },
  };
  const films = (n, one, more) => (n === 1 ? `1 film ${one}` : `${n} films ${more}`);
  const tagged = ({ left, failed, outcome }) => [
    left || failed ? "Not all films are tagged by it." : "All films are tagged by it.",
    outcome.charAt(0).toUpperCase() + outcome.slice(1) + ".",
    left ? films(left, "stays", "stay") + " as before, seen by another backbone or not kept: the command below decodes." : "",
    failed ? films(failed, "has", "have") + " failed." : "",
  ].filter(Boolean).join(" ");
  const number = (n) => (n === null ? "–" : n.toFixed(3));
  let waiting;
  const show = (now) => {
    clearTimeout(waiting);
    const { job, found, retagged } = now;
    const running = job?.state === "running";
    for (const id of ["learn", "retag", "force", "then"]) $(id).disabled = running;
    $("stop").hidden = $("going").hidden = !running;
    if (running) {
      const [what, unit] = WORK[job.kind];
      $("far").textContent = job.due ? `${what}: ${job.done} of ${job.due} ${unit}` : `${what}: starting`;
      if (job.due) { $("bar").max = job.due; $("bar").value = job.done; } else $("bar").removeAttribute("value");
      waiting = setTimeout(look, 400);
    }
    const ended = job && !running;
    $("state").hidden = !ended;
    $("state").className = `notice ${job?.state === "failed" ? "bad" : "plain"}`;
    const end = job?.kind === "retag" && job.state === "done" ? tagged(retagged) : ENDS[job?.kind]?.[job.state];
    if (ended) $("state").textContent = [end, job.error].filter(Boolean).join(" ");
    $("compared").hidden = !found;
    if (found) compare(found, now);
    $("nightly").hidden = !retagged;
    $("nightly").lastElementChild.textContent = retagged?.nightly || "";
    $("models").replaceChildren(...now.models.map(model));
    $("own").replaceChildren(...now.own.map(mine));
    document.body.dataset.state = job ? `${job.kind} ${job.state}` : "idle";
  };
  const compare = (found, now) => {
    const change = (pair) => (!pair ? "" : pair[0] === pair[1] ? pair[0] : `${pair[0]} → ${pair[1]}`);
    $("rows").replaceChildren(...found.tags.map(({ tag, yes, no, before, after, word, films }) => make("tr", {},
      make("th", { scope: "row", textContent: tag }), ...[yes, no, number(before), number(after)].map((text) => make("td", { textContent: text })),
      make("td", { textContent: word, className: word }),
      ...[films?.right, films?.wrong, films?.missed].map((pair) => make("td", { textContent: change(pair) })))));
    const kinds = { "average precision": [found.mean, "mean average precision"], precision: [found.precision, "films' precision"], recall: [found.recall, "films' recall"] };
    const worse = found.worse_at.map((name) => [kinds[name][1], ...kinds[name][0].map(number)])
      .map(([what, before, after]) => `Worse: ${what} of the tags that the model knew, ${before} before, ${after} after.`);
    const others = Object.entries(kinds).filter(([name, [pair]]) => pair && !found.worse_at.includes(name))
      .map(([, [pair, what]]) => `${what[0].toUpperCase()}${what.slice(1)} of the tags that the model knew: ${number(pair[0])} before, ${number(pair[1])} after.`);
    const over = Object.entries(found.passed_over).map(([tag, why]) => `${tag} is not learned: ${why}.`);
    const cautions = found.cautions.map((text) => `Do not trust: ${text}.`);
    $("cautions").replaceChildren(...[...worse, ...others, ...over, ...cautions].map((textContent) => make("li", { textContent })));
    const used = now.models.find((one) => one.name === found.name)?.used;
    $("retag").hidden = !found.name || used;
    $("retag").dataset.name = found.name;
    $("force").hidden = Boolean(found.name);
  };
  const model = ({ name, used }) => {
    const item = make("li", {}, make("code", { textContent: name }), used ? make("b", { textContent: "tagged last" }) : "");
    if (!used) {
      const button = make("button", { type: "button", className: "quiet", textContent: "Tag all films again by this one" });
      button.addEventListener("click", () => retag(name));
      item.append(button);
    }
    return item;
  };
  const look = async () => { const now = await ask("/api/learning"); if (now) show(now); else waiting = setTimeout(look, 3000); };
  const begin = async (path, body) => { const now = await ask(path, body); if (now) show(now); };
  const retag = (name) => begin("/api/retag", { model: name });
  $("learn").addEventListener("click", () => begin("/api/learn", { then: $("then").checked }));
  $("force").addEventListener("click", () => begin("/api/learn", { force: true, then: $("then").checked }));
  $("retag").addEventListener("click", () => retag($("retag").dataset.name));
  $("stop").addEventListener("click", () => begin("/api/stop", {}));
  look();

  // Pictures that may show a tag of one's own.
  let items = [];
  const mine = ({ tag, yes, no }) => {
    const button = make("button", { type: "button", className: "quiet", textContent: `${tag} ${yes} ✓ ${no} ✗` });
    button.setAttribute("aria-label", `Pictures that may show ${tag}; ${yes} are marked with it, ${no} are said not to show it`);
    button.addEventListener("click", () => { $("tag").value = tag; find(); });
    return make("li", {}, button);
  };
  const by = nameIn($("by"));
  const judge = async (item, verdict) => {
    const { name, time, tag } = item.dataset;
    if (!(await ask("/api/corrections", { name, tag, verdict, by: by(), start_s: Number(time), end_s: Number(time) }))) return;
    press(item, verdict);
    look();
    (items[items.indexOf(item) + 1] || $("more")).focus();
  };
  const undo = async () => { // the last thing said, on whatever page
    const undone = await ask("/api/undo", { by: by() });
    if (!undone) return;
    look();
    showUndone(undone, items.find(({ dataset: { name, time, tag } }) => name === undone.name && tag === undone.tag && Number(time) === undone.start_s && Number(time) === undone.end_s));
  };
  const picture = (tag) => ({ name, title, time_s, why }) => {
    const at = `${title} at ${timecode(time_s)}`;
    const link = make("a", { href: `/films/${name}.html#t=${time_s}` }, make("img", { src: `/stills/${name}/${time_s}.jpg`, alt: at, loading: "lazy" }));
    const item = make("li", { tabIndex: -1 }, link, make("p", {}, at, make("br"), make("small", { textContent: why })));
    Object.assign(item.dataset, { name, time: time_s, tag });
    for (const [verdict, text] of [["applies", "✓ shows it"], ["rejected", "✗ does not"]]) {
      const button = make("button", { type: "button", className: "verdict", textContent: text });
      button.dataset.v = verdict;
      button.setAttribute("aria-pressed", false);
      button.setAttribute("aria-label", `${tag} ${verdict === "applies" ? "applies" : "does not apply"} to ${at}`);
      button.addEventListener("click", () => judge(item, verdict));
      item.append(button, " ");
    }
    return item;
  };
  const find = async () => {
    const tag = $("tag").value.trim();
    history.replaceState(null, "", "#" + encodeURIComponent(tag));
    if (!tag) return;
    tell("");
    $("told").textContent = "Looking …";
    const found = await ask("/api/candidates?tag=" + encodeURIComponent(tag));
    $("told").textContent = found ? found.told : "";
    items = (found?.pictures || []).map(picture(tag));
    $("pictures").replaceChildren(...items);
    $("more").hidden = !items.length;
    items[0]?.focus({ preventScroll: true });
  };
  $("which").addEventListener("submit", (event) => { event.preventDefault(); find(); });
  $("more").addEventListener("click", find);
  $("undo").addEventListener("click", undo);
  listen(() => items, judge, undo);
  $("tag").value = decodeURIComponent(location.hash.slice(1));
  if ($("tag").value) find();
})();
