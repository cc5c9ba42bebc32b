"use strict";
(() => {
  const $ = (id) => document.getElementById(id);
  const all = (selector, inside = document) => [...inside.querySelectorAll(selector)];
  const data = JSON.parse($("data").textContent);
  const timecode = (seconds) => {
    const s = Math.max(0, Math.floor(seconds));
    const two = (n) => String(n).padStart(2, "0");
    const h = Math.floor(s / 3600), m = Math.floor(s / 60) % 60;
    return h ? `${h}:${two(m)}:${two(s % 60)}` : `${m}:${two(s % 60)}`;
  };

  let silence;
  const say = (text) => {
    $("said").textContent = text;
    clearTimeout(silence);
    silence = setTimeout(() => ($("said").textContent = ""), 4500);
  };

  const copy = async (seconds, why) => {
    const text = timecode(seconds);
    let copied = false;
    try {
      await navigator.clipboard.writeText(text);
      copied = true;
    } catch {
      const field = document.body.appendChild(Object.assign(document.createElement("textarea"), { value: text }));
      const before = document.activeElement;
      field.select();
      copied = document.execCommand("copy");
      field.remove();
      before?.focus();
    }
    say(`${why ? why + ": " : ""}${copied ? "timecode " + text + " copied" : "the timecode is " + text}`);
  };

  // The player: it opens at the first click, and where the film cannot be played the timecode is copied instead.
  const player = $("player");
  const video = player?.querySelector("video");
  let wanted = 0, broken = !video;
  const fail = () => {
    broken = true;
    player.hidden = true;
    document.body.classList.remove("plays");
    document.body.classList.add("copies");
    copy(wanted, "This browser cannot play the film, or the film has moved");
  };
  const play = (seconds, clicked) => {
    wanted = seconds;
    if (broken) return copy(seconds);
    player.hidden = false;
    document.body.classList.add("plays");
    clicked?.scrollIntoView({ block: "nearest" });
    // A player counts from the beginning of the file, which the first picture may come after.
    const go = () => { video.currentTime = wanted + data.start; video.play().catch(() => {}); };
    if (video.readyState >= 1) return go();
    video.addEventListener("loadedmetadata", go, { once: true });
    video.preload = "auto";
    video.load();
  };
  if (video) {
    video.addEventListener("error", fail);
    video.querySelector("source:last-of-type").addEventListener("error", fail);
    video.addEventListener("timeupdate", () => {
      if (player.hidden) return;
      $("playhead").hidden = false;
      $("playhead").style.left = 100 * Math.max(0, Math.min(1, (video.currentTime - data.start) / data.length)) + "%";
    });
    const close = () => { video.pause(); player.hidden = true; document.body.classList.remove("plays"); if ($("playhead")) $("playhead").hidden = true; };
    player.querySelector("button").addEventListener("click", close);
    document.addEventListener("keydown", (event) => { if (event.key === "Escape") close(); });
  }
  document.addEventListener("click", (event) => {
    const button = event.target.closest("button[data-t]");
    if (button) play(Number(button.dataset.t), button);
  });

  // Filter by tag.
  const chosen = new Set();
  const items = all("#frames li");
  const tagsOf = items.map((item) => new Set(item.dataset.tags.split(" ").filter(Boolean)));
  const filter = () => {
    let shown = 0;
    items.forEach((item, i) => {
      const fits = !chosen.size || [...chosen].some((tag) => tagsOf[i].has(tag));
      item.hidden = !fits;
      shown += fits;
    });
    all(".tag[data-tag]").forEach((b) => b.setAttribute("aria-pressed", chosen.has(b.dataset.tag)));
    all(".lane.spans").forEach((lane) => (lane.style.opacity = !chosen.size || chosen.has(lane.dataset.lane) ? "" : 0.25));
    all(".shots button").forEach((b) => (b.style.opacity = items[b.dataset.i].hidden ? 0.2 : ""));
    all(".under [data-tag]").forEach((s) => s.classList.toggle("hit", chosen.has(s.dataset.tag)));
    if ($("clear")) $("clear").hidden = !chosen.size;
    if ($("shown")) $("shown").textContent = chosen.size ? `${shown.toLocaleString("en")} of ${items.length.toLocaleString("en")} key frames` : "";
  };
  document.addEventListener("click", (event) => {
    const button = event.target.closest("button.tag[data-tag]");
    if (!button) return;
    const tag = button.dataset.tag;
    if (!chosen.delete(tag)) chosen.add(tag);
    filter();
  });
  $("clear")?.addEventListener("click", () => { chosen.clear(); filter(); });

  // How sure the model must be: the film has a tag at every setting up to its level (results/listing.py).
  const ALL = 1e6;
  let setting = data.threshold;
  const has = (tag) => data.levels[tag] >= setting;
  const list = () => {
    const any = data.levels.some((level) => level >= setting), weaker = data.levels.some((level) => 0 <= level && level < setting);
    all(".chart [data-row], .lane.spans, #filter .tag").forEach((e) => (e.hidden = !has(e.dataset.row ?? e.dataset.lane ?? e.dataset.tag)));
    all(".under [data-tag]").forEach((e) => e.classList.toggle("kept", has(e.dataset.tag)));
    for (const tag of [...chosen]) if (!has(tag)) chosen.delete(tag);
    $("chart").hidden = !any;
    $("none").hidden = any;
    if ($("filter")) $("filter").hidden = !any;
    $("weaker").hidden = !weaker && setting === data.threshold;
    $("weaker").textContent = weaker ? (data.levels.length === 1 ? "Show its one tag" : `Show all ${data.levels.length} tags`) : "Show the likely tags alone";
    const least = setting / (ALL / 100);
    $("min").value = least;
    $("least").textContent = `${Math.round(least * 10) / 10} %`;
    filter();
  };
  const read = () => {
    const min = Math.round(ALL * Number(new URLSearchParams(location.hash.slice(1)).get("min") ?? NaN));
    setting = min >= 0 && min <= ALL ? min : data.threshold;
    list();
  };
  if ($("min")) {
    const set = (value) => {
      setting = value;
      list();
      history.replaceState(null, "", "#" + (setting === data.threshold ? "" : "min=" + setting / ALL));
    };
    $("min").addEventListener("input", () => set(Math.round($("min").value * (ALL / 100))));
    $("weaker").addEventListener("click", () => set(data.levels.some((level) => 0 <= level && level < setting) ? 0 : data.threshold));
    addEventListener("hashchange", read);
    read();
  }

  // The timeline: pictures of the shots, the time under the pointer, arrow keys, zoom.
  const inner = $("inner");
  if (!inner) return;
  const pictures = items.map((item) => item.querySelector("img")?.src);
  const shots = all(".shots button", inner);
  if (shots.length <= 300) shots.forEach((shot, i) => { if (pictures[i]) shot.style.backgroundImage = `url("${pictures[i]}")`; });
  const rows = inner.querySelector(".shots .row");
  const tip = $("tip");
  const show = (x, y, seconds, said) => {
    const i = data.shots.findIndex(([start, end]) => start <= seconds && seconds < end);
    tip.replaceChildren();
    if (i >= 0 && pictures[i]) tip.append(Object.assign(new Image(), { src: pictures[i], alt: "" }));
    tip.append(Object.assign(document.createElement("b"), { textContent: timecode(seconds) }), said || "");
    tip.hidden = false;
    tip.style.left = Math.max(4, Math.min(innerWidth - 200, x - 95)) + "px";
    const above = y - tip.offsetHeight - 18;
    tip.style.top = (above > 0 ? above : y + 22) + "px";
  };
  const hide = () => { tip.hidden = true; $("at").hidden = true; };
  inner.addEventListener("pointermove", (event) => {
    if (event.pointerType === "touch") return;
    const box = rows.getBoundingClientRect();
    const share = (event.clientX - box.left) / box.width;
    if (share < 0 || share > 1) return hide();
    $("at").hidden = false;
    $("at").style.left = 100 * share + "%";
    show(event.clientX, event.clientY, share * data.length, event.target.dataset?.tip);
  });
  inner.addEventListener("pointerleave", hide);
  inner.addEventListener("focusin", (event) => {
    if (!event.target.matches("[data-tip]:focus-visible")) return;
    const box = event.target.getBoundingClientRect();
    show(box.left + box.width / 2, box.top, Number(event.target.dataset.t), event.target.dataset.tip);
  });
  inner.addEventListener("focusout", hide);
  inner.addEventListener("keydown", (event) => {
    const step = { ArrowRight: 1, ArrowLeft: -1, Home: -Infinity, End: Infinity }[event.key];
    if (!step || !event.target.matches(".row button")) return;
    const lane = all("button", event.target.parentNode);
    const to = lane[Math.max(0, Math.min(lane.length - 1, lane.indexOf(event.target) + step))];
    event.target.tabIndex = -1;
    to.tabIndex = 0;
    to.focus();
    event.preventDefault();
  });
  let zoom = 1;
  const most = Math.max(2, 2 ** Math.ceil(Math.log2(data.shots.length / 8 + 1)));
  const scale = (factor) => {
    const box = inner.parentNode;
    const middle = (box.scrollLeft + box.clientWidth / 2) / inner.offsetWidth;
    zoom = Math.max(1, Math.min(most, zoom * factor));
    inner.style.setProperty("--zoom", zoom);
    box.scrollLeft = middle * inner.offsetWidth - box.clientWidth / 2;
    $("out").disabled = zoom === 1;
    $("in").disabled = zoom === most;
    $("zoomed").textContent = zoom === 1 ? "whole film" : `${zoom} times as large`;
  };
  const from = new URLSearchParams(location.hash.slice(1)).get("t");
  if (from !== null) {
    const at = items[data.shots.findIndex(([start, end]) => start <= Number(from) && Number(from) < end)];
    at?.classList.add("found");
    at?.scrollIntoView({ block: "center" });
  }
  $("in").addEventListener("click", () => scale(2));
  $("out").addEventListener("click", () => scale(0.5));
})();
