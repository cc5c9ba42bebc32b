"use strict";
(() => {
  const all = (selector) => [...document.querySelectorAll(selector)];
  const stills = all("#stills [data-tags]"), buttons = all(".pick");
  const chosen = new Set();
  const fits = (still) => !chosen.size || still.dataset.tags.split(" ").some((tag) => chosen.has(tag));
  const draw = () => {
    let shown = 0;
    for (const still of stills) shown += !(still.hidden = !fits(still));
    for (const button of buttons) button.setAttribute("aria-pressed", chosen.has(button.dataset.tag));
    document.getElementById("shown").textContent = chosen.size ? `${shown} of ${stills.length} on this page` : "";
  };
  for (const button of buttons)
    button.addEventListener("click", () => {
      if (!chosen.delete(button.dataset.tag)) chosen.add(button.dataset.tag);
      draw();
    });
})();
