// What can be tried without a browser: the sentence of the overview, the lines of alerts,
// and the clock.
//
// usage: node units.mjs
import assert from "node:assert/strict";
import { fileURLToPath } from "node:url";
import { build } from "esbuild";

async function load(name) {
  const built = await build({ entryPoints: [fileURLToPath(new URL(`../src/${name}.ts`, import.meta.url))], bundle: true, write: false, format: "esm" });
  return import(`data:text/javascript;base64,${Buffer.from(built.outputFiles[0].contents).toString("base64")}`);
}

// ---- the sentence, of 0, 1 and many in each state

const { judge } = await load("judgement");
const one = { n: 1 }, two = { n: 2 }, many = { n: 20, more: true }, some = { n: 1, more: true };
const led = { shards: 1, leaderless: 0, takingOver: 0 };
const wait = "wait, and nothing is lost.";
for (const [given, level, says, beside] of [
  [{ leaders: undefined, any: false }, "off", "Loading …"],
  [{ active: some, owes: false, unheard: 7000 }, "off", "Whether partners get their orders is not known now: an answer is awaited.", "The last one came 7 s ago."],
  [{ active: some, owes: false, leaders: { ...led, leaderless: 1, silent: 7400 } }, "bad", `No leader: orders ${wait}`, "For 7 s so far."],
  [{ active: some, owes: false, leaders: { ...led, leaderless: 1 } }, "bad", `No leader: orders ${wait}`],
  [{ active: some, leaders: { shards: 8, leaderless: 2, takingOver: 1, silent: 4000 } }, "bad", `2 of 8 shards without a leader: their orders ${wait}`, "For 4 s so far."],
  [{ active: some, leaders: { ...led, takingOver: 1 } }, "busy", "A leader is taking over: orders wait until it is done, and nothing is lost."],
  [{ any: false }, "off", "There are no subscriptions yet, so nothing is delivered."],
  [{}, "off", "No subscription is active, so nothing is delivered."],
  [{ active: one, owes: false }, "good", "The partner gets its orders: nothing is owed."],
  [{ active: some, owes: false }, "good", "Partners get their orders: nothing is owed."],
  [{ active: some, owes: true }, "good", "Partners get their orders."],
  [{ active: some }, "good", "Partners get their orders."],
  [{ active: some, invalid: one }, "bad", "1 invalid: this partner gets no orders now."],
  [{ suspended: two }, "bad", "2 suspended: these partners get no orders now."],
  [{ active: some, invalid: one, suspended: many, paused: one }, "bad", "1 invalid, more than 20 suspended: these partners get no orders now."],
  [{ paused: one }, "busy", "1 paused (it gets none until it is resumed)."],
  [{ paused: two }, "busy", "2 paused (they get none until they are resumed)."],
  [{ retrying: one }, "busy", "1 retrying (some of its orders wait for another attempt)."],
  [{ retrying: two, reading: one, paused: many }, "busy", "2 retrying (some of their orders wait for another attempt), 1 catching up (its orders come late), more than 20 paused (they get none until they are resumed)."],
  [{ active: one, paused: one, owes: false }, "busy", "The other partner gets its orders; 1 paused (it gets none until it is resumed)."],
  [{ active: some, paused: two }, "busy", "The other partners get their orders; 2 paused (they get none until they are resumed)."],
  [{ active: some, reading: two }, "busy", "The other partners get their orders; 2 catching up (their orders come late)."],
  [{ active: some, invalid: { n: 0, more: true }, owes: false }, "off", "The subscriptions that were looked at get their orders; there are more than one look takes."],
]) {
  const { leaders = "leaders" in given ? undefined : led, unheard = 0, any = true, owes, ...of } = given;
  const none = { n: 0 };
  const facts = { leaders, unheard, any, owes, of: { invalid: none, suspended: none, retrying: none, reading: none, paused: none, active: none, ...of } };
  assert.deepEqual({ beside: undefined, ...judge(facts) }, { level, says, beside }, JSON.stringify(given));
}

// ---- a line for each trouble

const { joined, ofBridge } = await load("troubles");
const alert = (sequence, more) => ({ sequence, kind: "bus", subscription: "-", text: "the bus is slow", key: `id-${sequence}`, ...more });
const down = (sequence, more) => alert(sequence, { kind: "suspended", subscription: "shop", text: `suspended ${sequence}`, key: "suspended.shop.1", ...more });
const lines = joined([down(9), alert(8), alert(7, { text: "another" }), down(6, { over: true, kind: "resumed" }), alert(5), down(4), alert(3, { count: 4 }), down(2, { over: true })]);
assert.deepEqual(lines.map(({ begin, end, last, times }) => [begin?.sequence, end?.sequence, last?.sequence, times]),
  [[9, undefined, undefined, 1], [3, undefined, 8, 6], [7, undefined, undefined, 1], [4, 6, undefined, 1], [undefined, 2, undefined, 1]]);

const dead = (sequence, count, since, more) => alert(sequence, { kind: "dead-lettered", subscription: "shop", text: `${count} events became dead letters`, key: "dead-lettered.shop.1.404", count, since, ...more });
const counted = joined([dead(9, 9, "12:00"), dead(8, 1, "12:00"), dead(7, 5, "11:00"), dead(6, 2, "11:00"), dead(5, 3, "10:00", { over: true, text: "over" }), dead(4, 3, "10:00"), dead(3, 1, "10:00")]);
assert.deepEqual(counted.map(({ times, says, begin }) => [times, says, begin.sequence]),
  [[14, "9 events became dead letters", 6], [3, "3 events became dead letters", 3]]);

assert.ok(ofBridge(alert(1)) && !ofBridge(down(1)) && !ofBridge(down(1, { subscription: "_shop" })));

// ---- the clock of a browser that is wrong

const clock = await load("clock");
let browser = 1_800_000_000_000; // its clock; a second begins
Date.now = () => browser;
const ahead = (least, most) => assert.ok(least <= clock.now() - browser && clock.now() - browser <= most, `${clock.now() - browser} ms ahead, not ${least} to ${most}`);
const hours = 3_600_000;
const answer = (ahead, took) => clock.told(new Date(browser + ahead).toUTCString(), browser, (browser += took)); // a header has the whole second
ahead(0, 0);
clock.told(null, 0, 0);
clock.told("yesterday", 0, 0);
ahead(0, 0);
answer(-3 * hours, 200);
ahead(-3 * hours - 1000, -3 * hours + 1000);
for (let i = 0; i < 20; i++) answer(-3 * hours, 55);
ahead(-3 * hours - 60, -3 * hours + 60); // each answer tells more
answer(0, 900); // somebody has set it right
ahead(-1000, 1000);
console.log("ok");
