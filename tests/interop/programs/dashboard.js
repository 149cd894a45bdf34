// Walks the dashboard as people do, with Chromium. What is to be done is one JSON object on standard input; what was seen is
// one on standard output. A page that breaks its own rules, or says something on the console, is a fault.
"use strict";
const fs = require("node:fs");
const path = require("node:path");
const { chromium } = require("playwright-core");

const AXE = fs.readFileSync(require.resolve("axe-core/axe.min.js"), "utf8");
const PATIENCE = 20_000;
const faults = [];

const watched = async (context) => {
  const page = await context.newPage();
  page.setDefaultTimeout(PATIENCE);
  page.on("console", (message) => {
    if (["error", "warning"].includes(message.type())) faults.push(`${page.url()}: ${message.text()}`);
  });
  page.on("pageerror", (error) => faults.push(`${page.url()}: ${error}`));
  page.on("dialog", (dialog) => {
    faults.push(`${page.url()}: a dialog: ${dialog.message()}`);
    dialog.dismiss();
  });
  return page;
};

const open = async (page, url) => {
  const response = await page.goto(url, { waitUntil: "load" });
  if (response.status() !== 200) faults.push(`${url}: ${response.status()}`);
  return response;
};

const axe = async (page) => {
  // By the browser's own protocol: the page's policy would refuse a script of somebody else, as it should.
  await page.evaluate(AXE);
  const { violations } = await page.evaluate(() => axe.run({ resultTypes: ["violations"] }));
  return violations.flatMap(({ id, nodes }) => nodes.map((node) => `${id}: ${node.html.slice(0, 200)}: ${node.failureSummary}`));
};

const isLive = (page) => page.waitForFunction(() => document.getElementById("live-state")?.textContent === "live");

// Each page as it is for who has scripts: nothing wrong by axe in light and dark, wide and narrow; kept for the validator.
const walk = async (browser, { base, pages, folder, shots }) => {
  const violations = [];
  for (const [colorScheme, width] of [["light", 1280], ["dark", 1280], ["light", 390]]) {
    const context = await browser.newContext({ colorScheme, viewport: { width, height: 900 }, reducedMotion: "reduce" });
    const page = await watched(context);
    for (const [name, target] of Object.entries(pages)) {
      const response = await open(page, base + target);
      if (await page.$("#live-state")) await isLive(page);
      for (const violation of await axe(page)) violations.push(`${target} (${colorScheme}, ${width}): ${violation}`);
      const overflow = await page.evaluate(() => document.documentElement.scrollWidth - document.documentElement.clientWidth);
      if (overflow > 0) violations.push(`${target} (${width}): ${overflow} pixels wider than the window`);
      if (width === 1280 && shots) await page.screenshot({ path: path.join(folder, `${name}-${colorScheme}.png`) });
      if (colorScheme === "light" && width === 1280) fs.writeFileSync(path.join(folder, `${name}.html`), await response.text());
    }
    await context.close();
  }
  return { violations };
};

// The same pages without scripts: each has a heading, and says that it stays as it was.
const bare = async (browser, { base, pages }) => {
  const context = await browser.newContext({ javaScriptEnabled: false });
  const page = await watched(context);
  const seen = {};
  for (const [name, target] of Object.entries(pages)) {
    await open(page, base + target);
    const state = await page.locator("#live-state").allTextContents();
    seen[name] = { title: await page.locator("h1").innerText(), rows: await page.locator("tbody tr").count(), state: state[0] ?? null };
  }
  await open(page, base + pages.services);
  await page.fill("input[name=q]", "shop");
  await page.click("main form button");
  seen.filtered = await page.locator("#services tr").count();
  await open(page, base + "/ui/explain");
  await page.fill("input[name=url]", "/shop/a");
  await page.click("main form button");
  seen.explained = await page.locator(".answer h2").innerText();
  await context.close();
  return seen;
};

// What changes is seen without loading the page again, and nothing is sent to a tab that is hidden.
const live = async (browser, { base, register, deregister }) => {
  const context = await browser.newContext();
  const page = await watched(context);
  let streams = 0;
  page.on("request", (request) => (streams += request.resourceType() === "eventsource"));
  const ended = [];
  for (const event of ["requestfinished", "requestfailed"]) {
    page.on(event, (request) => request.resourceType() === "eventsource" && ended.push(event));
  }
  await open(page, base + "/ui/services");
  await isLive(page);
  await page.evaluate(() => (window.isSame = true));
  await page.focus("#services a");
  const focused = () => page.evaluate(() => document.activeElement.textContent);
  const before = await focused();
  const send = ([method, url, body]) => context.request.fetch(url, { method, data: body });
  const row = page.locator('#services tr[data-key="newcomer"]');
  await send(register);
  await row.waitFor();
  const after = await focused();
  await send(deregister);
  await row.waitFor({ state: "detached" });
  const hide = (hidden) =>
    page.evaluate((hidden) => {
      Object.defineProperty(document, "hidden", { value: hidden, configurable: true });
      document.dispatchEvent(new Event("visibilitychange"));
    }, hidden);
  const [opened, endedBefore] = [streams, ended.length];
  await hide(true);
  const until = Date.now() + PATIENCE;
  while (ended.length === endedBefore && Date.now() < until) await page.waitForTimeout(20);
  const endedHidden = ended.length - endedBefore;
  await hide(false);
  while (streams === opened && Date.now() < until) await page.waitForTimeout(20);
  await isLive(page);
  await page.click("#live-pause");
  const paused = await page.textContent("#live-state");
  const isSame = await page.evaluate(() => window.isSame === true);
  await context.close();
  return { before, after, opened, endedHidden, reopened: streams - opened, paused, isSame };
};

// A token lets in, by a form; the session reads and does not write, and ends.
const session = async (browser, { base, token, target }) => {
  const context = await browser.newContext({ ignoreHTTPSErrors: true });
  const page = await watched(context);
  await page.goto(base + target);
  const asked = new URL(page.url()).pathname;
  await page.fill("input[name=token]", "wrong");
  const refused = page.waitForResponse((response) => response.request().method() === "POST");
  await page.click("main button");
  const refusedWith = (await refused).status();
  await page.waitForSelector("[role=alert]");
  await page.fill("input[name=token]", token);
  await page.click("main button");
  await page.waitForURL(base + target);
  const title = await page.locator("h1").innerText();
  const [cookie] = await context.cookies(base + "/ui/");
  const scripted = await page.evaluate(() => document.cookie);
  const api = await page.evaluate(async () => {
    const get = await fetch("../internal/services");
    const post = await fetch("../internal/reload", { method: "POST" });
    return [get.status, post.status];
  });
  await page.click("header form button");
  await page.waitForURL(/sign-in/);
  await page.goto(base + target);
  const afterwards = new URL(page.url()).pathname;
  await context.close();
  // The browser tells of each answer of an error.
  const isExpected = (fault) => /status of (401|403)/.test(fault);
  faults.splice(0, faults.length, ...faults.filter((fault) => !isExpected(fault)));
  const { name, httpOnly, sameSite, secure, path: way } = cookie;
  return { asked, refusedWith, title, cookie: { name, httpOnly, sameSite, secure, path: way }, scripted, api, afterwards };
};

const main = async () => {
  const asked = JSON.parse(fs.readFileSync(0, "utf8"));
  const browser = await chromium.launch({
    executablePath: process.env.CHROMIUM,
    env: { ...process.env, LD_LIBRARY_PATH: process.env.CHROMIUM_LIBRARIES },
    // As root, and in containers, its own sandbox does not start; it sees pages of the test alone.
    chromiumSandbox: false,
    args: ["--disable-gpu", "--disable-dev-shm-usage"],
  });
  try {
    const seen = await { walk, bare, live, session }[asked.what](browser, asked);
    console.log(JSON.stringify({ ...seen, faults }));
  } finally {
    await browser.close();
  }
};

main().catch((error) => {
  console.error(error);
  process.exit(1);
});
