"use strict";
(() => {
  const $ = (id) => document.getElementById(id);
  const two = (n) => String(n).padStart(2, "0");
  const timecode = (t) => (t >= 3600 ? `${Math.floor(t / 3600)}:${two(Math.floor(t / 60) % 60)}` : `${Math.floor(t / 60)}`) + `:${two(Math.floor(t) % 60)}`;
  const cell = (...inside) => { const td = document.createElement("td"); td.append(...inside); return td; };
  let waiting, latest = 0;
  const find = () => {
    const q = $("q").value.trim();
    history.replaceState(null, "", "#" + encodeURIComponent(q));
    if (q) show("/api/scenes?q=" + encodeURIComponent(q)); else $("scenes").replaceChildren();
  };
  const show = async (path) => {
    const mine = ++latest;
    const answer = await fetch(path).catch(() => null);
    const reply = answer ? await answer.json().catch(() => ({ error: "this could not be searched" })) : { error: "The page is no longer served: start movie-tags review again" };
    if (mine !== latest) return;
    $("told").textContent = reply.error || (reply.scenes.length ? `${reply.scenes.length} scenes` : "There is no such scene.");
    $("scenes").replaceChildren(...(reply.scenes || []).map((scene) => {
      const row = document.createElement("tr");
      const link = Object.assign(document.createElement("a"), { href: `/films/${scene.name}.html#t=${scene.start_s}`, textContent: scene.title });
      row.append(cell(link), cell(`${timecode(scene.start_s)} to ${timecode(scene.end_s)}`), cell(scene.similarity !== undefined ? `similarity ${scene.similarity.toFixed(3)}` : scene.sure === null ? "" : `${Math.round(100 * scene.sure)} % probable`));
      return row;
    }));
  };
  $("q").addEventListener("input", () => { clearTimeout(waiting); waiting = setTimeout(find, 120); });
  const like = /^#like=([^@]+)@([\d.]+)$/.exec(location.hash); // as film pages link to it
  if (like) { $("told").textContent = "Looking for shots that look like that one …"; show(`/api/alike/${like[1]}/${like[2]}`); }
  else $("q").value = decodeURIComponent(location.hash.slice(1));
  if ($("q").value) find();
  $("q").focus();
})();
