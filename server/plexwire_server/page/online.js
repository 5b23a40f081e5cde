/** What was online when the stream began, each camera a button that puts it into the view or takes it out. */

/** Show `sources` in `list`; `chosen` is watched now, and `onToggle(source, camera)` is called for a click. */
export function showOnline(list, sources, chosen, onToggle) {
  const focused = list.contains(document.activeElement) ? document.activeElement.textContent : null;
  const items = camerasOf(sources).map(({ source, camera }) => {
    const button = document.createElement("button");
    const watched = source === chosen.source && chosen.cameras.includes(camera);
    button.type = "button";
    button.textContent = source === chosen.source ? camera : `${source} · ${camera}`;
    button.setAttribute("aria-pressed", String(watched));
    // The last one stays: a stream without a camera would mean another.
    const fixed = watched && chosen.cameras.length === 1;
    button.setAttribute("aria-disabled", String(fixed));
    if (!fixed) button.addEventListener("click", () => onToggle(source, camera));
    const item = document.createElement("li");
    item.append(button);
    return item;
  });
  list.replaceChildren(...items);
  // Whoever got here by keyboard stays where they were.
  items.map((item) => item.firstChild).find((button) => button.textContent === focused)?.focus();
  return items.length;
}

/** Return the address after a click: another source begins anew, as one stream carries one source. */
export function toggled(address, source, camera) {
  if (source !== address.source) return { ...address, source, cameras: [camera] };
  const others = address.cameras.filter((other) => other !== camera);
  const cameras = others.length < address.cameras.length ? others : [...others, camera];
  return { ...address, cameras };
}

function camerasOf(sources) {
  return sources.flatMap(({ source_id: source, cameras }) => cameras.map((camera) => ({ source, camera })));
}
