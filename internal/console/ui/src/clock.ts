// What time it is by the bridge's clock: that of the browser may be wrong by hours.
let least = -Infinity, most = Infinity; // ms; what the bridge's clock is ahead, at least and at most

/** now is the time in ms since 1970, by the bridge's clock as soon as it has answered. */
export const now = () => Date.now() + (least + most > -Infinity && least + most < Infinity ? (least + most) / 2 : 0);

/** told takes the Date of an answer, which is that of the second in which it was written: between sent and came, by the browser's clock. */
export function told(date: string | null, sent: number, came: number) {
  const at = Date.parse(date ?? "");
  if (isNaN(at)) return;
  const [low, high] = [at - came, at + 1000 - sent];
  [least, most] = low > most || high < least ? [low, high] : [Math.max(least, low), Math.min(most, high)]; // else a clock was set
}
