// What a person does with the console, in a real browser: each page and button once,
// then a look at each page in both themes and at phone width, with axe-core.
//
// usage: node story.mjs '{"url": …, "tokens": {…}, "order": …, "pictures": DIR or ""}'
import assert from "node:assert/strict";
import { browser, given, go, heading, hold, login, ok, open, press, problems, says, views } from "./browser.mjs";

// ---- a stranger, and an operator

const page = await open(given.url);
await login(page, "not-a-token-0123456789");
await says(page, "the token is not known");
await hold(page, "login");
await login(page, given.tokens.operator);
await heading(page, "Overview");
await says(page, /partners? gets? no orders now/);
await page.getByText("live:").waitFor();
await says(page, "The bus answers");
await page.locator(".attempt").first().waitFor(); // something is delivered
assert.equal(await page.evaluate(() => document.cookie + sessionStorage.length), "0", "the session can be read by scripts");
assert.ok(!(await page.evaluate(() => JSON.stringify(localStorage))).includes("operator-"), "the token is kept");
ok("logged in");

await go(page, "subscriptions", "Subscriptions");
await page.getByLabel("State").selectOption("invalid");
await page.getByRole("link", { name: "broken" }).waitFor();
await page.getByRole("link", { name: "shop", exact: true }).waitFor({ state: "detached" });
await page.getByLabel("State").selectOption("");
await page.getByRole("row").filter({ hasText: "shop" }).getByText("%").first().waitFor(); // its success
await page.getByLabel("Tenant").fill("acme");
await page.keyboard.press("Enter");
await page.getByRole("link", { name: "broken" }).waitFor({ state: "detached" });
await page.getByRole("link", { name: "acme-shop" }).waitFor();
await page.getByLabel("Tenant").fill("");
await page.getByLabel("Label").fill("team=blue");
await page.keyboard.press("Enter");
await page.getByRole("link", { name: "shop", exact: true }).waitFor();
await page.getByRole("link", { name: "acme-shop" }).waitFor({ state: "detached" });
await page.getByLabel("Label").fill("");
await page.getByLabel("Id contains").fill("ho");
await page.keyboard.press("Enter");
await page.getByRole("link", { name: "acme-shop" }).waitFor();
await page.getByRole("link", { name: "broken" }).waitFor({ state: "detached" });
await page.getByRole("link", { name: "shop", exact: true }).click();
ok("subscriptions");

await heading(page, "Subscription shop");
await page.locator(".attempt").first().waitFor();
await page.locator(".attempt summary").first().click();
await page.getByText("in total").waitFor();
await press(page, "Test", "Send a test to shop?", "The endpoint accepted it: 200");
await page.getByRole("button", { name: "Test", exact: true }).click();
await page.getByLabel("the JSON below").check();
const tested = page.getByRole("dialog", { name: "Send a test to shop?" });
await tested.getByText("It is marked X-Test: true").waitFor();
await tested.getByLabel("The event").fill("{");
await tested.getByRole("button", { name: "Test", exact: true }).click();
await tested.getByText("The event is not JSON").waitFor();
await tested.getByLabel("The event").fill(`{"orderId": "tried", "eventType": "OrderCreated"}`);
await hold(page, "a question with a form");
await tested.getByRole("button", { name: "Test", exact: true }).click();
await tested.getByText("The endpoint accepted it: 200").waitFor();
await page.keyboard.press("Escape");
await press(page, "Pause", "Pause shop?", "It is paused");
await press(page, "Resume", "Resume shop?", "It is resumed");
await press(page, "Retry now", "Retry shop now?", /waiting/);
await press(page, "Rotate secret", "Rotate the signing secret of shop?", /whsec_.*signs as well until/);
await press(page, "Rotate secret", "Rotate the signing secret of shop?", "The record holds it in plain text"); // there is no sealing key
await page.getByRole("button", { name: "Replay", exact: true }).click();
await page.getByLabel("Order", { exact: true }).fill("4711"); // of a question that is cancelled nothing is left
await page.keyboard.press("Escape");
await page.getByRole("button", { name: "Replay", exact: true }).click();
assert.equal(await page.getByLabel("Order", { exact: true }).inputValue(), "");
const replay = page.getByRole("dialog", { name: "Replay to shop?" });
await replay.getByLabel("Rate").fill("1/h");
await replay.getByRole("button", { name: "Count first" }).click();
await replay.getByText(/events? would be sent/).waitFor();
await replay.getByRole("button", { name: "Replay", exact: true }).click();
await replay.getByText(/Replay .* has begun/).waitFor();
await page.keyboard.press("Escape");
await page.getByRole("progressbar", { name: /Progress of replay/ }).first().waitFor();
await press(page, "Stop", /Stop replay/, "It is stopped");
await page.locator("tbody").getByText("stopped").first().waitFor();
await page.waitForFunction(() => document.activeElement.matches("h2") && document.activeElement.textContent === "Replays"); // the button is gone, and nothing is left in its row
await go(page, "replays", "Replays");
await page.getByRole("link", { name: "shop" }).first().waitFor();
await go(page, "subscriptions/shop", "Subscription shop");
await page.getByRole("button", { name: "Deactivate" }).click();
await says(page, "It never gets the events that are published while it is deactivated");
await page.keyboard.press("Escape");
await page.getByRole("dialog").waitFor({ state: "hidden" });
await press(page, "Deactivate", "Deactivate shop?", "It is deactivated");
await press(page, "Activate", "Activate shop?", "It is active");
const editor = page.getByRole("textbox", { name: "The record" });
await editor.fill('{"me');
await says(page, "It is not JSON");
await page.getByRole("button", { name: "method", exact: true }).click();
await page.getByRole("button", { name: "GET", exact: true }).waitFor();
await page.keyboard.press("Control+Space"); // the first of what fits
assert.equal(await editor.inputValue(), '{"method": "POST"');
await editor.fill("{");
await editor.fill((await editor.inputValue()) + '"targetURL": "https://x.example.com/", "retries": 3}');
await page.locator("#judgement").getByText("retries").first().waitFor();
await page.getByRole("button", { name: "Undo changes" }).click();
await editor.fill((await editor.inputValue()).replace("{", '{ "description": "the shop",'));
await press(page, "Save", "Save shop?", "shop is stored");
ok("one subscription");

await go(page, "new", "New subscription");
const makes = (text) => page.waitForFunction((text) => document.querySelector("textarea").value.includes(text), text);
await page.getByLabel("Id", { exact: true }).fill("second");
await page.getByText("Still needed: Target URL").waitFor(); // nothing is wrong before it was touched
assert.equal(await page.locator(".failure").count(), 0, "errors of what nobody touched");
await page.getByLabel("Target URL").fill("nowhere");
await page.getByLabel("Id", { exact: true }).focus();
await page.locator("#judgement .failure").getByText("targetURL").waitFor();
await page.getByText("Correct the errors above first").waitFor();
await page.getByLabel("Kind of subscription").selectOption({ index: 0 });
await page.getByLabel("Target URL").fill("https://second.example.com/orders");
await page.getByLabel("Authentication").selectOption("basic");
await page.getByLabel("User name").fill("bridge");
await makes('"username": "bridge"');
await page.getByLabel("Password").fill("told-to-nobody");
await makes("[Password as entered above]");
assert.ok(!(await page.getByRole("textbox", { name: "The record" }).inputValue()).includes("told-to-nobody"), "a secret is shown");
await page.getByLabel("Kind of subscription").selectOption({ index: 2 });
await makes("ORDER_MODIFIED");
await page.getByLabel("Kind of subscription").selectOption({ index: 3 });
await makes('"payload": "notification"');
await page.locator("#judgement").getByText("It hears").waitFor();
await page.getByLabel("Kind of subscription").selectOption({ index: 1 });
await makes("?orderId={orderId}");
await page.getByLabel("User name").fill("");
await page.locator("#judgement").getByText("It hears").waitFor();
await press(page, "Create", "Create second?", "second is stored");
await heading(page, "Subscription second");
await go(page, "new", "New subscription");
await page.getByLabel("Id", { exact: true }).fill("third");
await page.getByLabel("Target URL").fill("https://third.example.com/orders");
await press(page, "Create", "Create third?", "third is stored");
await heading(page, "Subscription third");
await press(page, "Delete", "Delete third?", "third is deleted");
await heading(page, "Subscriptions");
ok("a new subscription");

await page.getByRole("searchbox").fill(given.order);
await page.keyboard.press("Enter");
await page.getByRole("link", { name: `Order ${given.order}` }).click();
await heading(page, `Order ${given.order}`);
await says(page, /owed to crm/i);
await page.locator(".timeline").getByText("next attempt for").waitFor();
await page.locator(".timeline").getByText("published:").waitFor();
await press(page, "Retry now", `Retry order ${given.order} now?`, /being sent|not waiting/);
await page.getByRole("row").filter({ hasText: "crm" }).getByRole("button", { name: "Skip" }).waitFor(); // what mends it stands there
await go(page, "subscriptions/crm", "Subscription crm");
await press(page, "Skip", `Skip the first event of order ${given.order}?`, "It is a dead letter now",
  page.getByRole("row").filter({ hasText: given.order }));
ok("an order");

await go(page, "dead-letters", "Dead letters");
await page.getByRole("link", { name: "crm" }).first().waitFor();
await page.locator("tbody tr td a").first().click();
await heading(page, /Dead letter \d+/);
await says(page, given.order);
await press(page, "Redrive", /Redrive dead letter/, "It is owed again");
await go(page, "subscriptions/crm", "Subscription crm");
await says(page, "redriven");
const waits = (order) => page.getByRole("group", { name: "Orders that wait" }).getByRole("row").filter({ hasText: order });
await waits(given.order).getByText(/ago|now/).first().waitFor(); // how old it is
await press(page, "Skip", `Skip the first event of order ${given.order}?`, "It is a dead letter now", waits(given.order));
await waits(given.order).waitFor({ state: "detached" });
await page.waitForFunction(() => document.activeElement.textContent === "Skip"); // the focus goes on to the next row
await press(page, "Skip", "Skip the first event of order 4712?", "It is a dead letter now", waits("4712"));
let answer; // of a slow network
const stopped = new Promise((go) => (answer = go));
await page.route("**/dead-letters/redrive", (route) => stopped.then(() => route.continue()));
await page.getByRole("button", { name: "Redrive all" }).click();
const all = page.getByRole("dialog", { name: "Redrive all dead letters of crm?" });
await all.getByRole("button", { name: "Redrive all" }).click();
await all.getByText("0 dead letters redriven").waitFor();
await all.getByRole("button", { name: "Stop" }).click();
await all.getByText("Stopping").waitFor();
answer();
await all.getByText("2 dead letters owed again").waitFor();
await page.unroute("**/dead-letters/redrive");
await page.keyboard.press("Escape");
await all.waitFor({ state: "hidden" });
await press(page, "Skip", "Skip the first event of order 4713?", "It is a dead letter now", waits("4713"));
await go(page, "dead-letters?subscription=crm", "Dead letters");
await press(page, "Redrive all", "Redrive all matching dead letters?", "1 dead letter owed again");
await go(page, "dead-letters", "Dead letters");
ok("dead letters");

await go(page, "events", "Events");
await page.locator("section .live.on").waitFor();
const newest = await page.locator(".attempt .quiet").first().innerText();
await page.waitForFunction((was) => document.querySelector(".attempt .quiet").innerText !== was, newest);
await page.getByRole("button", { name: "Stop" }).click();
await says(page, "stopped");
await page.locator(".attempt summary").first().click();
await page.getByRole("button", { name: "Who hears it?" }).click();
await says(page, /subscriptions? match/);
await go(page, "audit?subscription=second", "Audit");
await page.getByRole("row").filter({ hasText: "second" }).getByText("operator").first().waitFor();
await go(page, "alerts", "Alerts");
await page.getByRole("link", { name: "broken" }).first().waitFor();
await page.getByRole("row").filter({ hasText: "broken" }).getByText("ongoing").waitFor();
await go(page, "search?q=nothing-is-called-so", "Search nothing-is-called-so");
await says(page, "No order, event or subscription has this id");
await go(page, "subscriptions/not-there", "Subscription not-there");
await says(page, "There is no such subscription");
ok("events, alerts, search");

// ---- the plots, by pointer and keys

await go(page, "", "Overview");
const plot = page.getByRole("slider", { name: "Deliveries per second" });
await plot.hover();
await plot.locator(".tip").getByText(/\/s delivered/).waitFor();
await plot.focus();
await page.keyboard.press("End");
const told = await plot.getAttribute("aria-valuetext");
await page.keyboard.press("ArrowLeft");
await page.waitForFunction(([e, was]) => e.getAttribute("aria-valuetext") !== was, [await plot.elementHandle(), told]);
await page.getByRole("slider", { name: "End-to-end latency" }).waitFor();
await page.getByRole("button", { name: "Live", exact: true }).click();
await page.getByRole("slider", { name: "Deliveries per second, by second" }).locator("rect.delivered").first().waitFor();
await page.getByRole("button", { name: "Last hour" }).click();
await page.getByRole("slider", { name: "Deliveries per second, by minute" }).waitFor();
assert.equal(await page.title(), "Overview · orderbridge");
assert.equal(await page.evaluate(async () => (await fetch(document.querySelector("link[rel=icon]").href)).headers.get("Content-Type")), "image/svg+xml");
ok("plots");

// ---- the keyboard alone

await page.reload();
await heading(page, "Overview");
await page.keyboard.press("Tab");
assert.equal(await page.evaluate(() => document.activeElement.textContent), "Go to the content");
await page.keyboard.press("Enter");
assert.equal(await page.evaluate(() => document.activeElement.id), "main");
ok("keyboard");

// ---- each page in each look

// A picture of the plots needs some time of deliveries.
if (given.pictures) await new Promise((later) => setTimeout(later, 8 * 60_000));
const looks = { light: { colorScheme: "light" }, dark: { colorScheme: "dark" }, phone: { colorScheme: "light", viewport: { width: 360, height: 900 } } };
const storageState = await page.context().storageState(); // the cookie, and the key that the page keeps
for (const [look, options] of Object.entries(looks)) {
  const seen = await open(given.url, { ...options, storageState });
  await heading(seen, "Overview");
  for (const [name, path, title] of views) {
    await go(seen, path, title);
    if (name === "overview") await seen.locator(".attempt").first().waitFor();
    if (name === "subscription" || name === "order") await seen.locator(".attempt summary").first().click();
    await hold(seen, `${name}, ${look}`);
    if (given.pictures) await seen.screenshot({ path: `${given.pictures}/${name}-${look}.png` });
  }
  if (look === "phone") {
    await seen.getByRole("button", { name: "Menu" }).click();
    await seen.getByRole("navigation").getByRole("link", { name: "Alerts" }).click();
    await heading(seen, "Alerts");
    await seen.getByRole("navigation").waitFor({ state: "hidden" });
  }
  await seen.context().close();
  ok(look);
}

// ---- a tenant, behind a prefix

const tenant = await open(given.prefixed);
await login(tenant, given.tokens.acme);
await heading(tenant, "Overview");
await says(tenant, "tenant acme");
assert.equal(await tenant.getByRole("heading", { name: "Bridge and bus" }).count(), 0);
assert.equal(await tenant.getByRole("link", { name: "Audit" }).count(), 0);
await go(tenant, "subscriptions", "Subscriptions");
await tenant.getByRole("link", { name: "acme-shop" }).waitFor();
assert.equal(await tenant.getByRole("link", { name: "crm" }).count(), 0, "a tenant sees another's");
await go(tenant, "subscriptions/crm", "Subscription crm");
await says(tenant, "There is no such subscription");
await tenant.reload(); // the cookie is for the prefix
await heading(tenant, "Subscription crm");
await tenant.getByRole("button", { name: "End all sessions" }).click();
await tenant.getByRole("dialog", { name: /End all sessions of/ }).getByRole("button", { name: "End all sessions" }).click();
await tenant.getByLabel("API token").waitFor();
await login(tenant, given.tokens.acme);
await heading(tenant, "Subscription crm");
await tenant.getByRole("button", { name: "Log out" }).click();
await tenant.getByLabel("API token").waitFor();
await tenant.reload();
await tenant.getByLabel("API token").waitFor();
ok("a tenant");

assert.deepEqual(problems, []);
await browser.close();
