// What somebody has typed and not saved is not lost silently: whoever leaves it is asked.
import { useLayoutEffect } from "preact/hooks";
import { question } from "./parts";

const unsaved = new Set<{ what: string }>(); // what would be lost

const warn = (e: BeforeUnloadEvent) => {
  e.preventDefault();
  e.returnValue = true; // what older browsers look at
};

/** useUnsaved names what would be lost if the page went; undefined: nothing. */
export function useUnsaved(what: string | undefined) {
  useLayoutEffect(() => {
    if (!what) return;
    const mine = { what };
    unsaved.add(mine);
    addEventListener("beforeunload", warn); // a reload, a link elsewhere, the window's end
    return () => {
      unsaved.delete(mine);
      if (!unsaved.size) removeEventListener("beforeunload", warn);
    };
  }, [what]);
}

/** Lost says what would be lost. */
export const Lost = () => unsaved.size ? <><p>What you typed would be lost:</p><ul>{[...unsaved].map((x) => <li>{x.what}</li>)}</ul></> : null;

/** forget lets it go. */
export function forget() {
  unsaved.clear();
  removeEventListener("beforeunload", warn);
}

/** leaving does what makes the page go, at once or when it may; else it does stay. */
export function leaving(go: () => void, stay = () => {}) {
  if (!unsaved.size) return go();
  question({
    label: "Leave without saving", title: "Leave without saving?", danger: true, not: stay, after: go,
    what: <Lost />, run: async () => forget(), done: () => null,
  });
}

/** saved goes to another page from one that holds nothing unsaved any more. */
export function saved(hash: string) {
  forget();
  location.hash = hash;
}
