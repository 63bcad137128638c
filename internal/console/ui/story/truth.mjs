// What the console says is true: while nobody leads, and in a browser whose clock is wrong.
//
// usage: node truth.mjs '{"url": …, "tokens": {…}, "control": URL}'; control takes the leader away and gives it back
import assert from "node:assert/strict";
import { browser, given, go, heading, hold, login, ok, open, patience, problems } from "./browser.mjs";

const control = async (what) => assert.equal((await fetch(`${given.control}/${what}`)).status, 200, what);

// ---- nobody leads

const page = await open(given.url);
await login(page, given.tokens.operator);
const tenant = await open(given.url);
await login(tenant, given.tokens.acme);
const verdict = (page, level, text) => page.locator(`.verdict.${level}`).getByText(text).waitFor();
for (const p of [page, tenant]) await verdict(p, "good", "The partner gets its orders");
await control("away");
for (const p of [page, tenant]) {
  await verdict(p, "bad", "No leader: orders wait, and nothing is lost.");
  await verdict(p, "bad", /For \d+(\.\d)? s so far/);
}
await page.getByRole("group", { name: "Leaders" }).getByText(/silent|no leader/).waitFor();
await page.getByText("Nothing was owed when a leader counted last").waitFor();
await control("back");
for (const p of [page, tenant]) await verdict(p, "good", "The partner gets its orders");
await page.route("**/api/v1/leaders", () => {}); // there is no answer
await verdict(page, "off", "Whether partners get their orders is not known now");
await hold(page, "it is not known who leads");
await page.unroute("**/api/v1/leaders");
ok("no leader");

// ---- the browser's clock is wrong by hours

for (const hours of [-5, 7]) {
  const context = await browser.newContext({ locale: "en-GB" });
  context.setDefaultTimeout(patience);
  await context.addInitScript((by) => {
    const Right = Date;
    window.Date = class extends Right {
      constructor(...of) {
        super(...(of.length ? of : [Right.now() + by]));
      }
      static now() {
        return Right.now() + by;
      }
    };
  }, hours * 3_600_000);
  const wrong = await context.newPage();
  wrong.on("pageerror", (e) => problems.push(`with a wrong clock: ${e.message}`));
  await wrong.goto(given.url);
  await login(wrong, given.tokens.operator);
  await heading(wrong, "Overview");
  await verdict(wrong, "good", "The partner gets its orders");
  await go(wrong, "subscriptions", "Subscriptions");
  const since = wrong.getByRole("row").filter({ hasText: "acme-shop" }).locator("time");
  assert.match(await since.innerText(), /^(now|\d+ (second|minute)s? ago)$/);
  await go(wrong, "subscriptions/acme-shop", "Subscription acme-shop");
  await wrong.getByRole("button", { name: "Replay", exact: true }).click();
  const before = Date.now();
  const asked = wrong.waitForRequest((r) => r.method() === "POST" && r.url().endsWith("api/v1/replays"));
  await wrong.getByRole("dialog").getByRole("button", { name: "Count first" }).click();
  const from = Date.parse((await asked).postDataJSON().since) + 3_600_000;
  assert.ok(before - 2_000 < from && from < Date.now() + 2_000, `the last hour is from ${(from - before) / 1000} s on`);
  await context.close();
}
ok("a wrong clock");

assert.deepEqual(problems, []);
await browser.close();
