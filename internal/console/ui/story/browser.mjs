// What stories share: a browser that looks for faults by itself, and what a person does again and again.
import { readFileSync } from "node:fs";
import { createRequire } from "node:module";
import { chromium } from "playwright-core";

export const given = JSON.parse(process.argv[2]);
const axe = readFileSync(createRequire(import.meta.url).resolve("axe-core/axe.min.js"), "utf8");
export const patience = given.patience ?? 240_000; // ms; no step may fail because the machine is slow

export const browser = await chromium.launch({ executablePath: given.chromium, args: ["--no-sandbox", "--disable-gpu"], timeout: patience });
export const problems = [];

/** views are the pages of the console: a name, an address and a heading each. */
export const views = [
  ["overview", "", "Overview"], ["subscriptions", "subscriptions", "Subscriptions"], ["subscription", "subscriptions/crm", "Subscription crm"],
  ["new", "new", "New subscription"], ["order", `orders/${given.order}`, `Order ${given.order}`], ["events", "events", "Events"],
  ["dead-letters", "dead-letters", "Dead letters"], ["alerts", "alerts", "Alerts"], ["replays", "replays", "Replays"], ["audit", "audit", "Audit"],
  ["search", `search?q=${given.order}`, `Search ${given.order}`],
];

const pages = []; // that were opened
const began = Date.now();

/** ok says what was seen, and after how long. */
export const ok = (what) => console.log(`ok ${what} (${((Date.now() - began) / 1000).toFixed(1)} s)`);

// A story that fails says which step did, and what each open page shows then.
process.on("uncaughtException", async (e) => {
  console.log(`FAILED: ${e.message}\n${e.stack?.split("\n").filter((line) => /story\/(?!browser)/.test(line)).join("\n")}`);
  if (e.cause) console.log(`because of: ${e.cause.message}`);
  for (const page of pages.filter((p) => !p.isClosed())) {
    const shown = page.locator("body").innerText({ timeout: 10_000 }).catch((e) => e.message);
    console.log(`\n${page.url()} shows:\n${(await shown).slice(0, 3000)}`);
  }
  for (const p of problems) console.log(`\nit had found: ${p}`);
  await browser.close().catch(() => {});
  process.exit(1);
});

export async function open(url, more = {}) {
  const context = await browser.newContext({ locale: "en-GB", timezoneId: "Europe/Berlin", viewport: { width: 1200, height: 900 }, ...more });
  context.setDefaultTimeout(patience);
  const page = await context.newPage();
  pages.push(page);
  page.on("pageerror", (e) => problems.push(`a script failed: ${e.message}`));
  page.on("console", (m) => {
    if (/Content.Security.Policy|TrustedHTML/i.test(m.text())) problems.push(m.text());
  });
  page.on("request", (r) => {
    if (!r.url().startsWith(new URL(url).origin)) problems.push(`it asks elsewhere: ${r.url()}`);
  });
  await page.goto(url);
  return page;
}

export async function login(page, token) {
  await page.getByLabel("API token").fill(token);
  await page.keyboard.press("Enter");
}

export const heading = (page, text) => page.getByRole("heading", { level: 1, name: text }).waitFor();
export const says = (page, text) => page.getByText(text).first().waitFor();

/** go opens a page of the console and waits until nothing is asked for any more. */
export async function go(page, path, title) {
  await page.evaluate((hash) => (location.hash = hash), `#/${path}`);
  await heading(page, title);
  await page.locator(".waits").first().waitFor({ state: "detached" });
}

/** press opens a button's question, does what it says, and waits for what came of it. */
export async function press(page, button, question, answer, within = page) {
  await within.getByRole("button", { name: button, exact: true }).first().click();
  const dialog = page.getByRole("dialog", { name: question });
  await dialog.waitFor();
  await dialog.getByRole("button", { name: button, exact: true }).click();
  await dialog.getByText(answer).waitFor().catch(async (e) => {
    throw new Error(`${question} says ${await dialog.innerText()}`, { cause: e });
  });
  await dialog.getByRole("button", { name: "Close" }).click();
  await dialog.waitFor({ state: "hidden" });
  ok(`${button}: ${question}`);
}

/** hold looks for what axe-core finds, and for a page that is wider than its window. */
export async function hold(page, what) {
  // The page's policy lets no script in; the protocol of the browser's own tools does.
  const tools = await page.context().newCDPSession(page);
  const known = await tools.send("Runtime.evaluate", { expression: "typeof axe", returnByValue: true });
  const expression = `${known.result.value === "object" ? "" : axe}; axe.run(document, {resultTypes: ["violations"]}).then((r) => JSON.stringify(r.violations.map((v) => v.id + ": " + v.nodes.map((n) => n.html.slice(0, 200)).join(" | "))))`;
  const found = await tools.send("Runtime.evaluate", { expression, awaitPromise: true, returnByValue: true });
  await tools.detach();
  for (const v of JSON.parse(found.result.value)) problems.push(`${what}: ${v}`);
  await fits(page, what);
}

/** fits looks for a page that is wider than its window. */
export async function fits(page, what) {
  const over = await page.evaluate(() => document.documentElement.scrollWidth - innerWidth);
  if (over > 0) problems.push(`${what}: it scrolls sideways by ${over} pixels`);
}
