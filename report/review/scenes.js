(() => {
  const cell = (...inside) => make("td", {}, ...inside);
  let waiting, latest = 0;
  const choice = document.querySelector("#by [value=words]"); // where a model of pictures and words has tagged
  const byWords = () => Boolean(choice && choice.checked);
  const find = () => {
    const q = $("q").value.trim();
    history.replaceState(null, "", (byWords() ? "#words=" : "#") + encodeURIComponent(q));
    if (q) show((byWords() ? "/api/words?q=" : "/api/scenes?q=") + encodeURIComponent(q)); else { ++latest; $("scenes").replaceChildren(); }
  };
  const fitted = (scene) => {
    if (scene.similarity !== undefined) return `similarity ${scene.similarity.toFixed(3)}`;
    const sure = scene.probability === undefined ? scene.sure : scene.probability;
    return sure === null ? "" : sure > 0 && sure < 0.01 ? "< 1 % probable" : `${Math.round(100 * sure)} % probable`;
  };
  const show = async (path) => {
    const mine = ++latest;
    if (byWords()) $("told").textContent = "Looking …"; // at first a model is loaded
    const reply = await request(path);
    if (mine !== latest) return;
    $("told").textContent = reply.error || (reply.scenes.length ? `${reply.scenes.length} scenes` : "There is no such scene.");
    $("scenes").replaceChildren(...(reply.scenes || []).map((scene) => {
      const link = make("a", { href: `/films/${scene.name}.html#t=${scene.start_s}`, textContent: scene.title });
      return make("tr", {}, cell(link), cell(`${timecode(scene.start_s)} to ${timecode(scene.end_s)}`), cell(fitted(scene)));
    }));
  };
  const kind = () => {
    $("q").setAttribute("aria-label", byWords() ? "Any words that a shot fits" : "Tags that meet in a scene");
    $("q").placeholder = byWords() ? "lighthouse at dusk -fog" : "beach kids -violence";
    $("told").textContent = byWords() ? "The shots that fit any words, the most probable first." : "The stretches of films throughout which tags meet, the most probable first.";
  };
  // Tags are looked up at every letter; a text goes through a model.
  $("q").addEventListener("input", () => { clearTimeout(waiting); waiting = setTimeout(find, byWords() ? 500 : 120); });
  if (choice) $("by").addEventListener("change", () => { kind(); find(); });
  const like = /^#like=([^@]+)@([\d.]+)$/.exec(location.hash); // as film pages link to it
  if (like) { $("told").textContent = "Looking for shots that look like that one …"; show(`/api/alike/${like[1]}/${like[2]}`); }
  else {
    const words = choice && location.hash.startsWith("#words=");
    if (words) { choice.checked = true; kind(); }
    $("q").value = decodeURIComponent(location.hash.slice(words ? 7 : 1));
  }
  if ($("q").value) find();
  $("q").focus();
})();
