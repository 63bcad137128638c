// What is live: the newest attempts, and the last minute by the second.
import { useEffect, useRef, useState } from "preact/hooks";
import type { Attempt } from "./api";
import { now } from "./clock";
import type { Slot } from "./plots";
import { useLive } from "./use";

const most = 15; // attempts
const past = 60; // seconds
const rated = 10; // seconds of which the rate is told, at most

interface Second extends Slot {
  took: number[]; // ms from publication to delivery
  more: boolean; // there were others, which were not told
}

const empty = (second: number): Second => ({ time: new Date(second * 1000).toISOString(), seconds: 1, delivered: 0, failed: 0, dead: 0, other: 0, took: [], more: false });

const second = () => Math.floor(now() / 1000);

/** useLately keeps the newest attempts, the last minute in slots of a second, and how many attempts there are a second now. */
export function useLately() {
  const [lately, setLately] = useState<Attempt[]>([]);
  const [to, setTo] = useState(second);
  const from = useRef(to);
  const came = useRef(new Map<number, Second>());
  const live = useLive(undefined, (entries, missed) => {
    const at = second();
    const s = came.current.get(at) ?? empty(at);
    came.current.set(at, s);
    s.more ||= missed;
    for (const a of entries) {
      if (a.outcome === "delivered" || a.outcome === "failed" || a.outcome === "dead") s[a.outcome]++;
      else s.other++;
      if (a.outcome === "delivered" && a.published) s.took.push(Math.max(Date.parse(a.time) - Date.parse(a.published), 0));
    }
    setLately((was) => [...entries, ...was].slice(0, most));
  });
  useEffect(() => {
    const timer = setInterval(() => {
      for (const at of came.current.keys()) if (at < second() - past) came.current.delete(at);
      setTo(second());
    }, 1000);
    return () => clearInterval(timer);
  }, []);
  const slots = Array.from({ length: past }, (_, i) => {
    const s = came.current.get(to - past + i) ?? empty(to - past + i);
    if (!s.latency && s.took.length) {
      const sorted = s.took.sort((a, b) => a - b);
      const at = (share: number) => sorted[Math.min(Math.floor(sorted.length * share), sorted.length - 1)]!;
      s.latency = { p50: at(0.5), p99: at(0.99) };
    }
    return s;
  });
  const long = Math.min(Math.max(to - from.current, 1), rated);
  const last = slots.slice(-long);
  const n = last.reduce((sum, s) => sum + s.delivered + s.failed + s.dead + s.other, 0) / long;
  // Of the first second not all was heard.
  return { lately, slots, now: to - from.current < 2 ? undefined : { n, more: last.some((s) => s.more) }, live };
}
