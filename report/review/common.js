"use strict";
// What the scripts of the review pages have in common: it stands before each of them.
const $ = (id) => document.getElementById(id);
const make = (name, properties = {}, ...inside) => {
  const element = Object.assign(document.createElement(name), properties);
  element.append(...inside);
  return element;
};
const timecode = (t) => {
  const s = Math.floor(t), two = (n) => String(n).padStart(2, "0");
  const h = Math.floor(s / 3600), m = Math.floor(s / 60) % 60;
  return h ? `${h}:${two(m)}:${two(s % 60)}` : `${m}:${two(s % 60)}`;
};
const tell = (text) => ($("said").textContent = text);

/** What the server answers, or answers to a body that is sent: an object, with `error` where it could not be done. */
const request = async (path, body) => {
  const post = { method: "POST", headers: { "Content-Type": "application/json" }, body: JSON.stringify(body) };
  const answer = await fetch(path, body ? post : {}).catch(() => null);
  if (!answer) return { error: "The page is no longer served: start movie-tags review again" };
  const text = await answer.text().catch(() => "");
  try { return JSON.parse(text); } catch { return { error: text || "this could not be done" }; }
};
/** The same, with errors told: null then. What was told last stays while the page only looks. */
const ask = async (path, body) => {
  const reply = await request(path, body);
  if (reply.error || body) tell(reply.error || "");
  return reply.error ? null : reply;
};

/** Keep the name in a box from page to page; gives what is in it. */
const nameIn = (box) => {
  box.value = sessionStorage.getItem("by") || box.value;
  box.addEventListener("input", () => sessionStorage.setItem("by", box.value));
  return () => box.value.trim();
};
/** Show which verdict of an item holds; none where it is "". */
const press = (item, verdict) => {
  for (const button of item.querySelectorAll(".verdict"))
    button.setAttribute("aria-pressed", button.dataset.v === verdict);
  item.classList.toggle("done", Boolean(verdict));
};
/** Show the verdict that holds again on an item, or tell what was undone: it may have been said on another page. */
const showUndone = ({ tag, title, start_s, verdict }, item) => {
  if (item) { press(item, verdict); item.focus(); }
  else tell(`undone: ${tag} in ${title}${start_s === null ? "" : ` at ${timecode(start_s)}`}`);
};
/** Keys: j, k go from item to item, y, n judge the one with the focus, u undoes; of others false says: not for them. */
const listen = (itemsNow, judge, undo, others = {}) => document.addEventListener("keydown", (event) => {
  if (event.target.matches("input, textarea, select, video") || event.ctrlKey || event.metaKey || event.altKey) return;
  const items = itemsNow(), at = items.findIndex((item) => item.contains(document.activeElement));
  const move = { j: 1, k: -1 }[event.key], verdict = { y: "applies", n: "rejected" }[event.key];
  if (move) items[Math.max(0, Math.min(items.length - 1, at + move))]?.focus();
  else if (verdict && at >= 0) judge(items[at], verdict);
  else if (event.key === "u") undo();
  else if (!others[event.key] || others[event.key]() === false) return;
  event.preventDefault();
});
