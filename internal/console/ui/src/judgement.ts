// The overview in one sentence: whether partners get their orders. It says no more than is known.
import { lasts, number } from "./words";

/** Some are those found in a state; more: there are others. */
export interface Some {
  n: number;
  more?: boolean;
}

export interface Facts {
  unheard: number; // ms since it was known who leads
  leaders?: { shards: number; leaderless: number; takingOver: number; silent?: number }; // silent: ms without a leader; undefined: not known yet
  any: boolean; // there are subscriptions
  of: Record<"invalid" | "suspended" | "retrying" | "reading" | "paused" | "active", Some>;
  owes?: boolean; // undefined: not known
}

export interface Judged {
  level: "good" | "busy" | "bad" | "off";
  says: string;
  beside?: string; // what changes all the time
}

const old = 6_000; // ms; what was known longer ago may be another by now

export function judge({ unheard, leaders, any, of, owes }: Facts): Judged {
  if (!leaders) return { level: "off", says: "Loading …" };
  const { shards, leaderless, takingOver, silent } = leaders;
  const seconds = (ms: number) => lasts(Math.round(ms / 1000) * 1000);
  if (unheard > old) return { level: "off", says: "Whether partners get their orders is not known now: an answer is awaited.", beside: `The last one came ${seconds(unheard)} ago.` };
  const whose = (n: number) => (n === shards ? "orders" : "their orders");
  if (leaderless) {
    const says = leaderless === shards ? "No leader" : `${number(leaderless)} of ${number(shards)} shards without a leader`;
    return { level: "bad", says: `${says}: ${whose(leaderless)} wait, and nothing is lost.`, beside: silent === undefined ? undefined : `For ${seconds(silent)} so far.` };
  }
  if (takingOver) {
    const says = takingOver === shards ? "A leader is taking over" : `Leaders are taking over ${number(takingOver)} of ${number(shards)} shards`;
    return { level: "busy", says: `${says}: ${whose(takingOver)} wait until it is done, and nothing is lost.` };
  }
  if (!any) return { level: "off", says: "There are no subscriptions yet, so nothing is delivered." };
  const parts = (Object.keys(words) as (keyof typeof words)[]).filter((state) => of[state].n);
  const unseen = Object.values(of).some((s) => !s.n && s.more); // so many there are that one look does not take all
  const told = (state: keyof typeof words, why?: boolean) => {
    const { n, more } = of[state];
    return `${more ? "more than " : ""}${number(n)} ${words[state][0]}${why ? ` (${words[state][n === 1 && !more ? 1 : 2]})` : ""}`;
  };
  const list = (states: typeof parts, why?: boolean) => states.map((s) => told(s, why)).join(", ");
  const none = parts.filter((s) => s === "invalid" || s === "suspended");
  if (none.length) {
    const one = sum(none.map((s) => of[s])) === 1;
    return { level: "bad", says: `${list(none)}: ${one ? "this partner gets" : "these partners get"} no orders now.` };
  }
  const well = sum([of.active]);
  if (unseen && !parts.length) return { level: "off", says: "The subscriptions that were looked at get their orders; there are more than one look takes." };
  if (!well && !parts.length) return { level: "off", says: "No subscription is active, so nothing is delivered." };
  if (!well) return { level: "busy", says: `${list(parts, true)}.` };
  const others = parts.length ? "other " : "";
  const lead = well === 1 ? `The ${others}partner gets its orders` : others ? "The other partners get their orders" : "Partners get their orders";
  if (parts.length) return { level: "busy", says: `${lead}; ${list(parts, true)}.` };
  return { level: "good", says: `${lead}${owes === false ? ": nothing is owed" : ""}.` };
}

// States in which not all is well, as they are called here, and what that means for one and for several.
const words = {
  invalid: ["invalid", "", ""],
  suspended: ["suspended", "", ""],
  retrying: ["retrying", "some of its orders wait for another attempt", "some of their orders wait for another attempt"],
  reading: ["catching up", "its orders come late", "their orders come late"],
  paused: ["paused", "it gets none until it is resumed", "they get none until they are resumed"],
} as const;

/** sum is how many there are, Infinity: not all are counted. */
const sum = (all: Some[]) => all.reduce((n, s) => n + (s.more ? Infinity : s.n), 0);
