// Many subscriptions, and a flood of attempts. The last line says what was measured.
//
// usage: node many.mjs '{"url": …, "tokens": {…}}'
import assert from "node:assert/strict";
import { browser, given, go, heading, login, ok, open, problems, says } from "./browser.mjs";

const page = await open(given.url);
await login(page, given.tokens.operator);
await heading(page, "Overview");

// ---- the first paint, of a browser that has the page's parts and of one that has not, and the whole overview

const middle = (all) => all.toSorted((a, b) => a - b)[all.length >> 1];
const took = async (page) => {
  await heading(page, "Overview");
  await says(page, /partners? gets? no orders now/);
  await page.locator(".tiles").waitFor(); // the figures
  return page.evaluate(() => new Promise((done) => new PerformanceObserver((list) => {
    const [paint] = list.getEntriesByName("first-contentful-paint"); // told late, where the machine is slow
    if (paint) done({ paint: paint.startTime, whole: performance.now() });
  }).observe({ type: "paint", buffered: true })));
};
const storageState = await page.context().storageState();
const paints = { again: [], first: [] }, wholes = [];
for (let i = 0; i < 3; i++) {
  await page.goto("about:blank");
  await page.goto(given.url);
  paints.again.push((await took(page)).paint);
  const fresh = await open(given.url, { storageState });
  const { paint, whole } = await took(fresh);
  paints.first.push(paint);
  wholes.push(whole);
  await fresh.context().close();
}
const result = { paint: middle(paints.first), paintAgain: middle(paints.again), overview: middle(wholes) };
ok("the first paint");

// ---- the list is paged

result.list = await page.evaluate(() => new Promise((done) => {
  const begun = performance.now();
  const look = new MutationObserver(() => document.querySelector("tbody tr:nth-child(50)") && requestAnimationFrame(() => {
    look.disconnect();
    done(performance.now() - begun);
  }));
  look.observe(document.body, { childList: true, subtree: true });
  location.hash = "#/subscriptions";
}));
await heading(page, "Subscriptions");
assert.equal(await page.locator("tbody tr").count(), 50);
await page.getByRole("button", { name: "Show more" }).click();
await page.locator("tbody tr").nth(99).waitFor();
await page.getByLabel("Id contains").fill("many-0999");
await page.keyboard.press("Enter");
await page.getByRole("link", { name: "many-00001" }).waitFor({ state: "detached" });
await page.getByRole("link", { name: "many-09990" }).waitFor();
assert.equal(await page.locator("tbody tr").count(), 10);
for (const [label, text, one] of [["Tenant", "rare", "many-09999"], ["Label", "team=last", "many-09998"]]) {
  await page.getByRole("textbox", { name: "Id contains" }).fill("");
  await page.getByRole("textbox", { name: "Tenant" }).fill("");
  await page.getByRole("textbox", { name: label }).fill(text);
  await page.keyboard.press("Enter");
  await page.locator("tbody tr").nth(1).waitFor({ state: "detached" });
  await page.getByRole("link", { name: one }).waitFor();
}
await page.getByRole("textbox", { name: "Label" }).fill("");
await page.getByLabel("State").selectOption("invalid");
await page.getByRole("link", { name: "broken" }).waitFor();
await page.locator("tbody tr").nth(1).waitFor({ state: "detached" });
ok("the list");

// ---- the flood

const tools = await page.context().newCDPSession(page);
await tools.send("Performance.enable");
const size = async () => {
  await tools.send("HeapProfiler.collectGarbage");
  const { metrics } = await tools.send("Performance.getMetrics");
  const of = (name) => metrics.find((m) => m.name === name).value;
  return { nodes: of("Nodes"), listeners: of("JSEventListeners"), mb: of("JSHeapUsedSize") / 2 ** 20 };
};
result.frame = result.megabytes = result.nodes = 0;
for (const [path, title, most] of [["", "Overview", 15], ["subscriptions/flooded", "Subscription flooded", 225]]) {
  await go(page, path, title);
  await page.locator(".attempt").nth(14).waitFor();
  // Entries come, many times over, and the page answers meanwhile.
  const seen = new Set();
  const newest = () => page.locator(".attempt time").first().getAttribute("title");
  const change = async (times) => {
    for (const until = seen.size + times; seen.size < until; ) seen.add(await newest());
  };
  await change(2);
  const before = await size();
  let slowest = 0;
  for (let i = 0; i < 4; i++) {
    await change(1);
    slowest = Math.max(slowest, await page.evaluate(() => new Promise((done) => {
      const start = performance.now();
      requestAnimationFrame(() => setTimeout(() => done(performance.now() - start)));
    })));
  }
  const after = await size();
  const rows = await page.locator(".attempt").count();
  assert.ok(rows <= most, `${title} has ${rows} attempts`);
  assert.ok(after.nodes < 20_000, `${title} has ${after.nodes} nodes`);
  result.frame = Math.max(result.frame, slowest);
  result.nodes = Math.max(result.nodes, after.nodes);
  result.megabytes = Math.max(result.megabytes, after.mb);
  ok(`${title}: ${rows} attempts; nodes ${before.nodes}, later ${after.nodes}; ${before.mb.toFixed(1)} MiB, later ${after.mb.toFixed(1)}`);
}
await go(page, "", "Overview");
await says(page, /live: more than [\d.,]+\/s/);
ok("the flood");

assert.deepEqual(problems, []);
console.log(JSON.stringify(Object.fromEntries(Object.entries(result).map(([name, n]) => [name, Math.round(n)]))));
await browser.close();
