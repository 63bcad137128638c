// What changes is seen without a hand on the page: states and alerts as they come. A page
// that is hidden lets go of its streams, and goes on where it was when it is seen again. What
// somebody else does to a record meanwhile takes nothing of what was typed.
//
// usage: node live.mjs '{"url": …, "control": URL that puts a wrong record, "tokens": {"operator": …}}'
import assert from "node:assert/strict";
import { browser, given, go, heading, login, ok, open, patience, press, problems } from "./browser.mjs";

const shop = async (what) => {
  const answer = await fetch(`${given.url}api/notifications/v1/webhooks/shop/${what}`, { method: "POST",
    headers: { Authorization: `Bearer ${given.tokens.operator}` } });
  assert.ok(answer.ok, `${what}: ${answer.status}`);
};

const page = await open(given.url);
await login(page, given.tokens.operator);
await heading(page, "Overview");

const stream = (of) => (r) => r.url().includes("api/v1/live") && r.url().includes(`of=${of}`);
let opens = page.waitForResponse(stream("statuses"));
await go(page, "subscriptions", "Subscriptions");
await opens;
const row = page.getByRole("row").filter({ hasText: "shop" });
await row.getByText("active", { exact: true }).waitFor();
await shop("pause");
await row.getByText("paused", { exact: true }).waitFor();
await shop("resume");
await row.getByText("active", { exact: true }).waitFor();
ok("states");

const hide = (hidden) => page.evaluate((hidden) => {
  Object.defineProperty(document, "hidden", { configurable: true, get: () => hidden });
  document.dispatchEvent(new Event("visibilitychange"));
}, hidden);
const ends = page.waitForEvent("requestfailed", stream("statuses"));
await hide(true);
await ends;
await shop("pause");
opens = page.waitForResponse((r) => stream("statuses")(r) && /above=\d/.test(r.url()));
await hide(false);
await opens;
await row.getByText("paused", { exact: true }).waitFor();
await shop("resume");
ok("hidden and seen again");

opens = page.waitForResponse(stream("alerts"));
await go(page, "alerts", "Alerts");
await opens;
await fetch(given.control); // puts a record that is wrong
await page.getByRole("row").filter({ hasText: "wrong" }).first().waitFor();
ok("alerts");

// ---- more windows than a browser has connections to one host

const windows = [];
for (let i = 0; i < 5; i++) {
  windows.push(await page.context().newPage());
  await windows.at(-1).goto(given.url);
  await heading(windows.at(-1), "Overview");
}
const last = windows.pop();
await last.getByText("not live: other windows are").first().waitFor();
await last.locator(".waits").first().waitFor({ state: "detached" });
await Promise.all(windows.map((w) => w.close()));
await last.locator(".live.on").first().waitFor();
await last.close();
ok("many windows");

// ---- a record that somebody else changes, or deletes, while it is edited

const records = `${given.url}api/v1/records/shop`;
const headers = { Authorization: `Bearer ${given.tokens.operator}`, "Content-Type": "application/json" };
const describe = async (description) => {
  const { record, revision } = await (await fetch(records, { headers })).json();
  const answer = await fetch(records, { method: "PUT", headers: { ...headers, "If-Match": `"${revision}"` }, body: JSON.stringify({ ...record, description }) });
  assert.ok(answer.ok, `describe: ${answer.status}`);
};
await go(page, "subscriptions/shop", "Subscription shop");
const editor = page.getByRole("textbox", { name: "The record" });
const holds = (text) => page.waitForFunction((text) => document.querySelector("textarea").value.includes(text), text);
const type = async (description) => editor.fill(JSON.stringify({ ...JSON.parse(await editor.inputValue()), description }));
const changed = page.getByText("The record has changed since you began to type");
await type("typed first");
await describe("of somebody else");
await changed.waitFor();
await holds("typed first");
await page.getByRole("button", { name: "Load the current record" }).click();
await holds("of somebody else");
await type("typed again");
await describe("of somebody else again");
await changed.waitFor();
await press(page, "Save", "Save shop?", "changed by somebody else meanwhile"); // what it began with is another by now
await page.getByRole("button", { name: "Keep what I typed" }).click();
await changed.waitFor({ state: "detached" });
await holds("typed again");
await press(page, "Save", "Save shop?", "shop is stored");
assert.equal((await (await fetch(records, { headers })).json()).record.description, "typed again");
for (const description of ["saved once more", "saved twice more"]) { // written as the page itself writes it
  await editor.fill(JSON.stringify({ ...JSON.parse(await editor.inputValue()), description }, null, 2));
  await press(page, "Save", "Save shop?", "shop is stored");
  await page.getByText("Nothing is changed yet").waitFor();
  await holds(description);
}
ok("changed meanwhile");

await editor.fill(JSON.stringify({ ...JSON.parse(await editor.inputValue()), description: "x".repeat(200_000) }));
await page.locator("#judgement .failure").first().waitFor(); // it is too long, and the bridge says so
await page.getByRole("button", { name: "Undo changes" }).click();
await page.locator("#judgement").getByText("It hears").waitFor();
ok("a long text");

// A question that is asked as soon as another is closed is not taken away by the end of that one.
await page.getByRole("button", { name: "Pause", exact: true }).click();
await page.getByRole("dialog", { name: "Pause shop?" }).waitFor();
await page.getByRole("dialog").evaluate((dialog) => {
  dialog.close();
  [...document.querySelectorAll("button")].find((b) => b.textContent === "Replay").click();
  return new Promise((later) => dialog.addEventListener("close", () => setTimeout(later)));
});
await page.getByRole("dialog", { name: "Replay to shop?" }).getByRole("button", { name: "Cancel" }).click();
ok("two questions");

// By the keyboard: the focus stays in the question, and goes back to its button.
await page.getByRole("button", { name: "Test", exact: true }).focus();
await page.keyboard.press("Enter");
const test = page.getByRole("dialog", { name: "Send a test to shop?" });
await test.getByRole("button", { name: "Test", exact: true }).focus();
await page.keyboard.press("Enter");
await test.getByText("The endpoint accepted it").waitFor();
await page.waitForFunction(() => document.activeElement.closest("dialog"));
await page.keyboard.press("Escape");
await page.waitForFunction(() => document.activeElement.textContent === "Test");
ok("focus of a question");

const { revision } = await (await fetch(records, { headers })).json();
await type("typed in vain");
assert.ok((await fetch(records, { method: "DELETE", headers: { ...headers, "If-Match": `"${revision}"` } })).ok);
await page.getByText("deleted", { exact: true }).first().waitFor();
await page.getByRole("button", { name: "Pause", exact: true }).waitFor({ state: "detached" }); // nothing can be done with it
ok("deleted meanwhile");

// ---- a browser that keeps nothing

const bare = await browser.newContext();
bare.setDefaultTimeout(patience);
await bare.addInitScript(() => {
  for (const name of ["localStorage", "sessionStorage"]) Object.defineProperty(window, name, { get: () => { throw new DOMException("denied", "SecurityError"); } });
});
const blocked = await bare.newPage();
blocked.on("pageerror", (e) => problems.push(`without storage: ${e.message}`));
await blocked.goto(given.url);
await login(blocked, given.tokens.operator); // the page is not blank
await heading(blocked, "Overview");
await blocked.getByLabel("Theme").selectOption("dark");
await blocked.goto(`${given.url}docs`);
await heading(blocked, "The management API");
ok("without storage");

assert.deepEqual(problems, []);
await browser.close();
