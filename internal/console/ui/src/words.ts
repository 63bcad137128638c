// How numbers, times and durations are written: by the reader's locale.
import { now } from "./clock";

const dateTime = new Intl.DateTimeFormat(undefined, { dateStyle: "medium", timeStyle: "medium" });
const timeOfDay = new Intl.DateTimeFormat(undefined, { timeStyle: "medium" });
const minute = new Intl.DateTimeFormat(undefined, { timeStyle: "short" });
const plain = new Intl.NumberFormat();
const short = new Intl.NumberFormat(undefined, { maximumFractionDigits: 1 });
// What has words of its own is English, as the rest is, with the reader's digits.
const relative = new Intl.RelativeTimeFormat(`en-u-nu-${plain.resolvedOptions().numberingSystem}`, { numeric: "auto" });

export const locale = plain.resolvedOptions().locale;

export const zone = Intl.DateTimeFormat().resolvedOptions().timeZone;
export const number = (n: number) => plain.format(n);
const share = new Intl.NumberFormat(undefined, { style: "percent", maximumFractionDigits: 1 });
/** percent rounds down: 100% means all. */
export const percent = (n: number) => share.format(Math.floor(n * 1000 + 1e-9) / 1000);
export const rate = (n: number) => short.format(n);
const precise = new Intl.NumberFormat(undefined, { maximumSignificantDigits: 2 });
/** perSecond is "4.2/s". */
export const perSecond = (n: number) => `${n < 10 ? precise.format(n) : plain.format(Math.round(n))}/s`;
export const full = (t: string) => dateTime.format(new Date(t));
export const clock = (t: string) => timeOfDay.format(new Date(t));
export const hourAndMinute = (t: string) => minute.format(new Date(t));

/** time is the clock today, and the date with it on other days. */
export function time(t: string): string {
  const d = new Date(t);
  return d.toDateString() === new Date(now()).toDateString() ? timeOfDay.format(d) : dateTime.format(d);
}

/** local writes the times in a text of the API as the reader has them. */
export const local = (text: string) => text.replace(/\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d+)?Z/g, time);

/** ago is "3 minutes ago", or "in 2 hours". */
export function ago(t: string): string {
  const seconds = (new Date(t).getTime() - now()) / 1000;
  for (const [unit, of] of [["day", 86400], ["hour", 3600], ["minute", 60]] as const) {
    if (Math.abs(seconds) >= of) return relative.format(Math.trunc(seconds / of), unit);
  }
  return relative.format(Math.trunc(seconds), "second");
}

/** lasts writes milliseconds: 0.4 ms, 120 ms, 2.3 s. */
export function lasts(ms: number): string {
  if (ms < 10) return `${short.format(ms)} ms`;
  if (ms < 1000) return `${plain.format(Math.round(ms))} ms`;
  if (ms < 120_000) return `${short.format(ms / 1000)} s`;
  return ms < 7_200_000 ? `${short.format(ms / 60_000)} min` : `${short.format(ms / 3_600_000)} h`;
}

export function size(bytes: number): string {
  return bytes < 10_000 ? `${plain.format(bytes)} bytes` : `${short.format(bytes / 1024)} KiB`;
}

/** count is "1 order", "3 orders". */
export const count = (n: number, what: string) => `${plain.format(n)} ${what}${n === 1 ? "" : "s"}`;
