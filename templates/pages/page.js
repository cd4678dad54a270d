"use strict";
const page = document.querySelector("main"), words = page.dataset, folds = [...page.querySelectorAll("details")];
const button = (text, kind, act) => {
  const made = Object.assign(document.createElement("button"), { type: "button", textContent: text, className: kind });
  made.addEventListener("click", act);
  return made;
};

// Fold and unfold; what a link leads to and what is printed is open.
const tools = Object.assign(document.createElement("p"), { className: "tools" });
tools.append(
  button(words.fold, "", () => folds.forEach((d) => { d.open = false; })),
  button(words.unfold, "", () => folds.forEach((d) => { d.open = true; })),
);
if (folds.length) page.prepend(tools);
const reveal = () => {
  const target = document.getElementById(decodeURIComponent(location.hash.slice(1)));
  for (let d = target; d; d = d.parentElement) if (d.localName === "details") d.open = true;
  target?.querySelector(":scope > details")?.setAttribute("open", "");
  target?.scrollIntoView();
};
addEventListener("hashchange", reveal);
if (location.hash) reveal();
let shut = [];
addEventListener("beforeprint", () => { shut = folds.filter((d) => !d.open); shut.forEach((d) => { d.open = true; }); });
addEventListener("afterprint", () => shut.forEach((d) => { d.open = false; }));

// Copy an equation as LaTeX, also where the clipboard is out of reach of a page.
const copy = async (text) => {
  try {
    await navigator.clipboard.writeText(text);
  } catch {
    const box = Object.assign(document.createElement("textarea"), { value: text });
    page.append(box);
    box.select();
    document.execCommand("copy");
    box.remove();
  }
};
for (const row of page.querySelectorAll("[data-tex]")) {
  const made = button("TeX", "copy", async () => {
    await copy(row.dataset.tex);
    made.textContent = words.copied;
    setTimeout(() => { made.textContent = "TeX"; }, 1500);
  });
  made.title = words.copy;
  made.setAttribute("aria-label", words.copy);
  row.lastElementChild.append(made);
}

// What a symbol means, beside it.
const known = new Map([...page.querySelectorAll("#glossary dd")].map((d) => [d.dataset.s, d]));
const note = Object.assign(document.createElement("div"), { id: "note", role: "tooltip", hidden: true });
page.append(note);
const tell = ({ target }) => {
  if (!(target instanceof Element) || target.closest("#note")) return;
  const symbol = target.closest(".sym"), entry = known.get(symbol?.getAttribute("data-s"));
  note.hidden = !entry;
  if (!entry) return;
  note.replaceChildren(...entry.cloneNode(true).childNodes);
  const at = symbol.getBoundingClientRect(), below = at.bottom + note.offsetHeight < innerHeight;
  note.style.left = `${Math.max(8, Math.min(at.left, document.documentElement.clientWidth - note.offsetWidth - 8))}px`;
  note.style.top = `${below ? at.bottom - 1 : at.top - note.offsetHeight + 1}px`;
};
document.addEventListener("pointerover", tell);
document.addEventListener("click", tell);
document.addEventListener("keydown", ({ key }) => { if (key === "Escape") note.hidden = true; });
document.addEventListener("scroll", () => { note.hidden = true; }, true);
