// Alerts as people want to read them: one line for each trouble, however often it was told.
import type { Alert } from "./api";

// Kinds of what lasts until the bridge says that it is over.
export const lasting = new Set(["suspended", "invalid", "retention", "dead-lettered"]);

/** ofBridge is true of an alert that is about no subscription. */
export const ofBridge = (a: Alert) => a.subscription === "-";

export interface Trouble {
  begin?: Alert;
  end?: Alert;
  last?: Alert; // of those that came several times and have no end
  says: string; // by the newest
  times: number;
}

/** joined puts begin and end of the same thing together, and what came several times; the newest first. */
export function joined(items: Alert[]): Trouble[] {
  const out: Trouble[] = [];
  const open = new Map<string, Trouble>(); // whose begin may come yet: items go back in time
  for (const a of items) {
    const ends = a.over || lasting.has(a.kind);
    const key = (ends && a.key) || `${a.kind} ${a.subscription} ${a.text}`; // what has no end has a key of its own each time
    const of = open.get(key);
    if (a.over) {
      const t: Trouble = { end: a, says: a.text, times: 0 };
      out.push(t);
      open.set(key, t);
    } else if (of) {
      if (!ends) of.last ??= of.begin;
      const goesOn = a.count && of.begin?.count && a.since === of.begin.since; // the newer one has counted on from it
      if (!goesOn) of.times += a.count ?? 1;
      if (!of.begin) of.says = a.text;
      of.begin = a; // the earliest of them
    } else {
      const t: Trouble = { begin: a, says: a.text, times: a.count ?? 1 };
      out.push(t);
      open.set(key, t);
    }
  }
  return out.map((t) => ({ ...t, times: Math.max(t.times, t.end?.count ?? 0, 1) }));
}
