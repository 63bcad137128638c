// Where the focus goes when what has it vanishes: a row that was redriven, a button that
// became another one. Else the browser puts it on the whole page, and who works by the
// keyboard, or hears the page, begins at its top again.

const usable = "a[href], button, summary, input, select, textarea";

interface Spot {
  at: Element; // what has the focus
  rows: Element[]; // of its table: those after its own first, the nearest first
  buttons: Element | null; // among which it stands
  index: number; // there
  section: Element | null;
}

let last: Spot | undefined; // outside of questions

const usables = (place: Element | null) => [...(place?.querySelectorAll<HTMLElement>(usable) ?? [])];

function spot(at: Element): Spot {
  const row = at.closest("tr, li"), buttons = at.closest(".buttons, .mend");
  const all = row ? [...row.parentElement!.children] : [];
  const i = row ? all.indexOf(row) : 0;
  return { at, rows: [...all.slice(i), ...all.slice(0, i).reverse()], buttons, index: usables(buttons).indexOf(at as HTMLElement), section: at.closest("section") };
}

/** regain gives the focus to the nearest of what is left, where it is lost. */
export function regain() {
  if (document.activeElement !== document.body) return;
  if (last?.buttons?.isConnected) {
    const all = usables(last.buttons);
    const to = all[Math.min(last.index, all.length - 1)];
    if (to) return to.focus();
  }
  for (const row of last?.rows ?? []) {
    const all = row.isConnected ? usables(row) : [];
    const to = all.find((e) => e.textContent === last!.at.textContent) ?? all[0];
    if (to) return to.focus();
  }
  const head = last?.section?.isConnected ? last.section.querySelector<HTMLElement>("h2") : document.getElementById("main");
  head?.focus({ preventScroll: true });
}

const asks = (e: EventTarget | null) => !!(e as Element | null)?.closest?.("dialog");
addEventListener("focusin", (e) => {
  if (!asks(e.target)) last = spot(e.target as Element);
});
addEventListener("pointerdown", (e) => {
  if (!asks(e.target)) last = undefined; // who has gone elsewhere with the mouse is not taken back
}, { capture: true });
new MutationObserver(() => {
  if (last && !last.at.isConnected && !document.querySelector("dialog[open]")) regain();
}).observe(document.body, { childList: true, subtree: true });
