"use strict";
(() => {
  const $ = (id) => document.getElementById(id);
  const items = [...document.querySelectorAll("#questions [data-tag]")];
  const send = async (path, body) => {
    const answer = await fetch(path, { method: "POST", headers: { "Content-Type": "application/json" }, body: JSON.stringify(body) }).catch(() => null);
    $("said").textContent = "";
    if (answer?.ok) return answer.json();
    $("said").textContent = answer ? (await answer.json().catch(() => ({}))).error || "this could not be kept" : "The page is no longer served: start movie-tags review again";
    return null;
  };
  const by = () => $("by").value.trim();
  $("by").value = sessionStorage.getItem("by") || $("by").value;
  $("by").addEventListener("input", () => sessionStorage.setItem("by", $("by").value));
  const press = (item, verdict) => {
    for (const button of item.querySelectorAll(".verdict")) button.setAttribute("aria-pressed", button.dataset.v === verdict);
    item.classList.toggle("done", Boolean(verdict));
  };
  const say = async (item, verdict) => {
    if (!(await send("/api/corrections", { name: item.dataset.name, tag: item.dataset.tag, verdict, by: by() }))) return;
    press(item, verdict);
    items[items.indexOf(item) + 1]?.focus();
  };
  const two = (n) => String(n).padStart(2, "0");
  const timecode = (t) => (t >= 3600 ? `${Math.floor(t / 3600)}:${two(Math.floor(t / 60) % 60)}` : `${Math.floor(t / 60)}`) + `:${two(Math.floor(t) % 60)}`;
  const undo = async () => { // the last thing said, on whatever page
    const undone = await send("/api/undo", { by: by() });
    if (!undone) return;
    const item = items.find(({ dataset: { name, tag } }) => name === undone.name && tag === undone.tag && undone.start_s === null);
    if (item) { press(item, undone.verdict); item.focus(); }
    else $("said").textContent = `undone: ${undone.tag} in ${undone.title}${undone.start_s === null ? "" : ` at ${timecode(undone.start_s)}`}`;
  };
  for (const item of items)
    for (const button of item.querySelectorAll(".verdict")) button.addEventListener("click", () => say(item, button.dataset.v));
  $("undo").addEventListener("click", undo);
  document.addEventListener("keydown", (event) => {
    if (event.target.matches("input") || event.ctrlKey || event.metaKey || event.altKey) return;
    const at = items.indexOf(document.activeElement.closest?.("[data-tag]"));
    const move = { j: 1, k: -1 }[event.key];
    if (move) items[Math.max(0, Math.min(items.length - 1, at + move))]?.focus();
    else if (event.key === "y" && at >= 0) say(items[at], "applies");
    else if (event.key === "n" && at >= 0) say(items[at], "rejected");
    else if (event.key === "u") undo();
    else return;
    event.preventDefault();
  });
  items[0]?.focus({ preventScroll: true });
})();
