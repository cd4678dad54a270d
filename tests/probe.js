// Runs inside a page: opens everything that can be opened, and tells the console which letters have no glyph and what
// reaches over the edge. A glyph is missing if a letter is drawn exactly like a code point that no font has.
addEventListener("load", () => {
  document.querySelectorAll("details").forEach((d) => { d.open = true; });
  const pen = Object.assign(document.createElement("canvas"), { width: 40, height: 40 }).getContext("2d", { willReadFrequently: true });
  const drawn = (font, letter) => {
    pen.clearRect(0, 0, 40, 40);
    pen.font = `24px ${font}`;
    pen.fillText(letter, 4, 30);
    return pen.getImageData(0, 0, 40, 40).data.join();
  };
  const letters = new Map();
  const walk = document.createTreeWalker(document.body, NodeFilter.SHOW_TEXT);
  while (walk.nextNode()) {
    const parent = walk.currentNode.parentElement;
    if (parent.closest("script, style")) continue;
    const font = getComputedStyle(parent).fontFamily;
    if (!letters.has(font)) letters.set(font, new Set());
    for (const letter of walk.currentNode.data) if (letter > "~") letters.get(font).add(letter);
  }
  const invisible = "\u00a0\u2061\u2062";
  const missing = [];
  for (const [font, used] of letters) {
    const nothing = drawn(font, "\u{10FFFE}");
    for (const letter of used) {
      if (!invisible.includes(letter) && drawn(font, letter) === nothing) missing.push(`U+${letter.codePointAt(0).toString(16)}`);
    }
  }
  const page = document.documentElement;
  const over = page.scrollWidth > innerWidth ? [...document.querySelectorAll("main *")].find((e) => e.getBoundingClientRect().right > innerWidth)?.tagName ?? "something" : "";
  console.info("PROBE " + JSON.stringify({ width: innerWidth, missing, over, maths: document.querySelectorAll("math").length }));
});
