(() => {
  const items = [...document.querySelectorAll("#questions [data-tag]")];
  const by = nameIn($("by"));
  const judge = async (item, verdict) => {
    if (!(await ask("/api/corrections", { name: item.dataset.name, tag: item.dataset.tag, verdict, by: by() }))) return;
    press(item, verdict);
    items[items.indexOf(item) + 1]?.focus();
  };
  const undo = async () => { // the last thing said, on whatever page
    const undone = await ask("/api/undo", { by: by() });
    if (undone) showUndone(undone, items.find(({ dataset: { name, tag } }) => name === undone.name && tag === undone.tag && undone.start_s === null));
  };
  for (const item of items)
    for (const button of item.querySelectorAll(".verdict")) button.addEventListener("click", () => judge(item, button.dataset.v));
  $("undo").addEventListener("click", undo);
  listen(() => items, judge, undo);
  items[0]?.focus({ preventScroll: true });
})();
