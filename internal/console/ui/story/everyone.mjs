// The console for everyone, and in trouble.
//
// usage: node everyone.mjs '{"url": …, "tokens": {…}, "order": …, "control": URL}'; control stops and starts things
import assert from "node:assert/strict";
import { browser, fits, given, go, heading, hold, login, ok, open, problems, says, views } from "./browser.mjs";

const control = async (what) => assert.equal((await fetch(`${given.control}/${what}`)).status, 200, what);

const page = await open(given.url);
await login(page, given.tokens.operator);
await heading(page, "Overview");

for (const link of await page.getByRole("navigation", { name: "Pages" }).getByRole("link").all()) {
  const path = (await link.getAttribute("href")).slice(2);
  assert.ok(views.some((v) => v[1] === path), `this story does not see the page ${path}: name it in views`);
}

// ---- by the keyboard alone: all that can be used is reached, in order, and seen

for (const [, path, title] of views) {
  await go(page, path, title);
  // From the first to the last, on the first page, and else from the content on: each has an outline.
  await page.evaluate(() => { document.activeElement?.blur(); scrollTo(0, 0); });
  await page.locator(path ? "#main" : ".skip").focus();
  if (path) await page.keyboard.press("Tab");
  let last = "";
  for (let i = 0; ; i++) {
    const at = await page.evaluate(() => {
      const e = document.activeElement;
      if (!e || e === document.body) return { end: true };
      const style = getComputedStyle(e);
      return { end: !!e.closest("footer") && e.tagName === "A", html: e.outerHTML.slice(0, 120), seen: style.outlineStyle !== "none" && parseFloat(style.outlineWidth) > 0 };
    });
    if (at.end) break;
    assert.ok(at.seen, `${title}: the focus is not seen at ${at.html}`);
    last = at.html;
    assert.ok(i < 400, `${title}: the keyboard does not come to the end, at ${last}`);
    await page.keyboard.press("Tab");
  }
}
await go(page, "subscriptions/crm", "Subscription crm");
await page.getByRole("button", { name: "Pause" }).focus();
await page.keyboard.press("Enter");
const question = page.getByRole("dialog", { name: "Pause crm?" });
await question.waitFor();
for (let i = 0; i < 5; i++) {
  await page.keyboard.press("Tab");
  assert.ok(await page.evaluate(() => document.activeElement === document.body || !!document.activeElement.closest("dialog")), "the focus leaves the question");
}
await page.keyboard.press("Escape");
await question.waitFor({ state: "hidden" });
await page.waitForFunction(() => document.activeElement.textContent === "Pause"); // the focus comes back
ok("keyboard");

// ---- large, without colours and motion, in other languages; narrow is what story.mjs looks at

const storageState = await page.context().storageState(); // the cookie, and the key that the page keeps
const looks = {
  "at 200 %": { viewport: { width: 600, height: 450 }, deviceScaleFactor: 2 },
  "forced colours": { forcedColors: "active", reducedMotion: "reduce" },
  "de-DE": { locale: "de-DE" },
  "ar, narrow": { locale: "ar", timezoneId: "Africa/Cairo", viewport: { width: 360, height: 740 } },
};
for (const [look, options] of Object.entries(looks)) {
  const seen = await open(given.url, { ...options, storageState });
  await heading(seen, "Overview");
  for (const [, path, title] of views) {
    await go(seen, path, title);
    await (look === "de-DE" ? fits : hold)(seen, `${title}, ${look}`);
    if (options.reducedMotion) assert.equal(await seen.evaluate(() => document.getAnimations().length), 0, `${title} moves`);
  }
  const { locale = "en-GB", timezoneId: timeZone = "Europe/Berlin" } = options;
  await says(seen, `Times in ${timeZone}`);
  await go(seen, "events", "Events");
  const [at, shown] = await seen.locator(".attempt time").first().evaluate((e) => [e.dateTime, e.title]); // at once: another may come
  const expected = new Intl.DateTimeFormat(locale, { dateStyle: "medium", timeStyle: "medium", timeZone }).format(new Date(at));
  assert.equal(shown.replace(/\s/g, " "), expected.replace(/\s/g, " "));
  await seen.context().close();
  ok(look);
}

// ---- a session ends while a form is filled

await go(page, "new", "New subscription");
await page.getByLabel("Id", { exact: true }).fill("half-typed");
await page.getByLabel("Target URL").fill("https://half.example.com/");
await page.context().clearCookies();
await page.getByRole("textbox", { name: "The record" }).fill('{"targetURL": "https://typed-by-hand.example.com/"}');
await page.getByLabel("API token").waitFor();
assert.ok(!(await page.getByRole("heading", { name: "New subscription" }).isVisible()), "what a session showed is shown after it");
await hold(page, "a session has ended");
await login(page, given.tokens.operator);
await heading(page, "New subscription");
assert.equal(await page.getByLabel("Id", { exact: true }).inputValue(), "half-typed");
assert.match(await page.getByRole("textbox", { name: "The record" }).inputValue(), /typed-by-hand/);
ok("nothing typed is lost");

// ---- what is not saved is not lost by a link, Back, a reload or the end of a session, unless somebody says so

const leave = page.getByRole("dialog", { name: "Leave without saving?" });
const stay = async (what) => {
  await leave.getByText(what).waitFor();
  await leave.getByRole("button", { name: "Cancel" }).click();
  await leave.waitFor({ state: "hidden" });
};
await page.getByRole("navigation", { name: "Pages" }).getByRole("link", { name: "Alerts" }).click();
await stay("a new subscription that is not created yet");
await page.waitForFunction(() => location.hash === "#/new");
assert.match(await page.getByRole("textbox", { name: "The record" }).inputValue(), /typed-by-hand/);
const asked = page.waitForEvent("dialog");
void page.evaluate(() => location.reload()).catch(() => {});
const unload = await asked;
assert.equal(unload.type(), "beforeunload");
await unload.dismiss();
await page.getByRole("button", { name: "Log out" }).click();
await stay("a new subscription that is not created yet");
await page.evaluate(() => (location.hash = "#/subscriptions/shop"));
await leave.getByRole("button", { name: "Leave without saving" }).click();
await heading(page, "Subscription shop");
const editor = page.getByRole("textbox", { name: "The record" });
await editor.fill('{"targetURL": "https://typed-in-vain.example.com/"}');
await page.evaluate(() => history.back());
await stay("changes to the record of shop");
await page.waitForFunction(() => location.hash === "#/subscriptions/shop");
assert.match(await editor.inputValue(), /typed-in-vain/);
await page.evaluate(() => history.back());
await leave.getByRole("button", { name: "Leave without saving" }).click();
await heading(page, "New subscription");
await page.evaluate(() => history.forward());
await heading(page, "Subscription shop"); // nothing is asked where nothing would be lost
ok("what is not saved");

// ---- the bus is away, then the program

await go(page, "", "Overview");
await control("bus-stops");
await go(page, "alerts", "Alerts"); // so that it asks at once
await page.evaluate(() => (location.hash = "#/"));
await heading(page, "Overview");
await says(page, /the bus |no bridge /);
await hold(page, "without the bus");
ok("no bus is told");
await control("bus-starts");
await page.locator(".failure").first().waitFor({ state: "detached" });
await says(page, /partners? gets? no orders now/);
ok("the bus is back");
await control("kill");
await says(page, "The bridge cannot be reached");
await hold(page, "without the program");
ok("no program is told");
await control("start");
await page.locator(".failure").first().waitFor({ state: "detached" });
await says(page, /partners? gets? no orders now/);
await page.getByText("live:").waitFor();
ok("trouble");

assert.deepEqual(problems, []);
await browser.close();
