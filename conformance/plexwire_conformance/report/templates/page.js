"use strict";
(() => {
  const all = (selector, within = document) => [...within.querySelectorAll(selector)];

  // A link into something folded opens it.
  const reveal = () => {
    let target = null;
    try { target = document.getElementById(decodeURIComponent(location.hash.slice(1))); } catch { return; }
    if (!target) return;
    for (let node = target; node; node = node.parentElement) {
      if (node.tagName === "DETAILS") node.open = true;
      if (node.hidden && "verdict" in node.dataset) node.hidden = false;
    }
    target.scrollIntoView();
  };
  addEventListener("hashchange", reveal);

  // The filter: verdicts, area, words.
  const form = document.getElementById("filter");
  const items = all("[data-verdict]").map((node) => ({ node, text: null }));
  const apply = () => {
    const data = new FormData(form);
    const verdicts = new Set(data.getAll("verdict"));
    const words = data.get("words").toLowerCase().split(/\s+/).filter(Boolean);
    const area = data.get("area");
    // What was not judged has no verdict to choose it by.
    const everything = all("[name=verdict]", form).every((box) => box.checked);
    let shown = 0;
    for (const item of items) {
      const { verdict, area: areas } = item.node.dataset;
      let fits = (verdict ? verdicts.has(verdict) : everything) && (!area || areas.split(" ").includes(area));
      if (fits && words.length) {
        item.text ??= `${item.node.id} ${item.node.textContent}`.toLowerCase();
        fits = words.every((word) => item.text.includes(word));
      }
      item.node.hidden = !fits;
      shown += fits;
    }
    const narrowed = shown < items.length;
    for (const part of all("details.area")) {
      part.hidden = !part.querySelector("tr:not([hidden])");
      if (narrowed && (words.length || area)) part.open = !part.hidden;
    }
    for (const part of all("main > section")) {
      const own = all("[data-verdict]", part);
      part.querySelector(".empty").hidden = !own.length || own.some((node) => !node.hidden);
    }
    form.querySelector("output").textContent = narrowed ? `${shown} of ${items.length}` : "";
    form.querySelector("button").hidden = !narrowed;
  };
  if (form) {
    form.hidden = false;
    form.addEventListener("input", apply);
    form.addEventListener("submit", (event) => event.preventDefault());
    form.querySelector("button").addEventListener("click", () => { form.reset(); apply(); });
    for (const tile of all("[data-only]")) {
      tile.addEventListener("click", () => {
        form.reset();
        for (const box of all("[name=verdict]", form)) box.checked = box.value === tile.dataset.only;
        apply();
      });
    }
    // A browser keeps what was chosen when a page is loaded anew.
    apply();
  }

  // A mark says what its line says.
  addEventListener("pointerover", (event) => {
    const mark = event.target.closest?.("a.mark");
    if (!mark || mark.querySelector("title")) return;
    const line = document.getElementById(decodeURIComponent(mark.getAttribute("href").slice(1)));
    const title = document.createElementNS("http://www.w3.org/2000/svg", "title");
    title.textContent = [...line.cells].map((cell) => cell.textContent).join("  ");
    mark.prepend(title);
  });

  // Commands can be copied.
  for (const code of all("code.command")) {
    if (!navigator.clipboard) break;
    const button = document.createElement("button");
    button.type = "button";
    button.textContent = "Copy";
    button.addEventListener("click", async () => {
      await navigator.clipboard.writeText(code.textContent);
      button.textContent = "Copied";
      setTimeout(() => { button.textContent = "Copy"; }, 1500);
    });
    code.after(button);
  }

  // On paper nothing can be opened: what was found is.
  let folded = [];
  addEventListener("beforeprint", () => {
    folded = all(".finding .said details:not([open])");
    for (const row of all("details.area:not([open]) tr:is([data-verdict=fail], [data-verdict=error], [data-verdict=warn])")) {
      folded.push(row.closest("details"));
    }
    for (const node of folded) node.open = true;
  });
  addEventListener("afterprint", () => { for (const node of folded) node.open = false; });

  reveal();
})();
