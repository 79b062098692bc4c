// What somebody on call does in a browser, against a running sidecar. Speaks with main.rs in lines: `damage` and `stop` ask
// for what the test has to do outside, which answers with a line of its own.
//
//   SITE      the address of the pages        MODULES   the folder with playwright-core
//   TOKEN     the token of changes            SHOTS     where screenshots go
import assert from "node:assert/strict";
import { createInterface } from "node:readline";
import { pathToFileURL } from "node:url";

const { SITE, TOKEN, MODULES, SHOTS, CHROMIUM } = process.env;
const { chromium } = await import(pathToFileURL(`${MODULES}/playwright-core/index.mjs`).href);
const answers = createInterface({ input: process.stdin })[Symbol.asyncIterator]();

async function ask(what) {
  console.log(what);
  const { value, done } = await answers.next();
  assert(!done && value === `${what} done`, `asked for ${what}, was told ${value}`);
}

const browser = await chromium.launch({
  executablePath: CHROMIUM,
  args: [
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
  ],
});

// A page on which nothing may go wrong unseen, and which may ask nobody else.
const complaints = [];
async function open(options = {}) {
  const context = await browser.newContext({ viewport: { width: 1200, height: 900 }, ...options });
  const page = await context.newPage();
  page.on("console", (said) => {
    if (["error", "warning"].includes(said.type())) complaints.push(`${page.url()}: ${said.text()}`);
  });
  page.on("pageerror", (error) => complaints.push(`${page.url()}: ${error.message}`));
  page.on("request", (request) => {
    if (!request.url().startsWith(`${SITE}/`)) complaints.push(`${page.url()} asked for ${request.url()}`);
  });
  return page;
}

async function go(page, path) {
  await page.goto(SITE + path);
  return page;
}

const rows = (page) => page.locator("#list tbody tr");

async function everyPageIsReadable() {
  const looks = {
    light: {},
    dark: { colorScheme: "dark" },
    phone: { viewport: { width: 390, height: 800 } },
  };
  for (const [look, options] of Object.entries(looks)) {
    const page = await open(options);
    const finding = await (await go(page, "/findings")).locator("#list tbody a").first().getAttribute("href");
    for (const path of ["/", "/findings", "/tables", "/pipelines", "/pipelines/orders", finding]) {
      await go(page, path);
      assert.equal(await page.locator("h1").count(), 1, path);
      const wide = await page.evaluate(() => document.scrollingElement.scrollWidth - innerWidth);
      assert(wide <= 0, `${path} is ${wide} pixels too wide on ${look}`);
      const name = path === finding ? "finding" : path.replaceAll("/", "-").slice(1) || "overview";
      await page.screenshot({ path: `${SHOTS}/${look}-${name}.png`, fullPage: true });
    }
    await page.context().close();
  }
}

async function theKeyboardIsEnough() {
  const page = await go(await open(), "/");
  await page.keyboard.press("Tab");
  assert.equal(await page.evaluate(() => document.activeElement.textContent), "Skip to the content");
  await page.keyboard.press("Enter");
  assert.equal(await page.evaluate(() => document.activeElement.id), "main");
  await go(page, "/");
  for (let press = 0; press < 3; press += 1) await page.keyboard.press("Tab");
  await Promise.all([page.waitForURL("**/findings"), page.keyboard.press("Enter")]);
  await page.context().close();
}

async function whatIsLostShowsWithoutAReload() {
  const overview = await go(await open(), "/");
  const list = await go(await open(), "/findings");
  await overview.getByText("6 rows lost or wrong").waitFor();
  assert.equal(await rows(list).count(), 6);
  for (const page of [overview, list]) await page.evaluate(() => (window.kept = true));
  await ask("damage");
  await overview.getByText("7 rows lost or wrong").waitFor({ timeout: 60_000 });
  await list.locator("#list tbody").getByText("vanished_row").waitFor({ timeout: 30_000 });
  assert.equal(await rows(list).count(), 7);
  for (const page of [overview, list]) {
    assert.equal(await page.evaluate(() => window.kept), true, "the page was loaded anew");
    await page.context().close();
  }
}

async function manyAreAcknowledgedAtOnce() {
  const page = await go(await open(), "/findings?state=open&sort=oldest");
  assert.equal(await rows(page).count(), 7);
  for (const place of [0, 1]) await rows(page).nth(place).locator("input").check();
  await page.getByLabel("Your name").fill("ada");
  await page.getByLabel("Note").fill("seen");
  await page.getByLabel("Token").fill("wrong");
  await page.getByRole("button", { name: "Acknowledge" }).click();
  await page.getByText("0 of 2 done, then: expected").waitFor();
  // The refusal is in the console of every browser.
  complaints.splice(0, complaints.length, ...complaints.filter((one) => !one.includes("401")));
  await page.getByLabel("Token").fill(TOKEN);
  await page.getByRole("button", { name: "Acknowledge" }).click();
  await page.waitForFunction(() => document.querySelectorAll("#list tbody tr").length === 5);
  // A link says which findings these are, to whoever it is sent.
  const other = await go(await open(), "/findings?state=acknowledged&table=public.customers");
  assert.equal(await rows(other).count(), 2);
  const finding = await rows(other).first().locator("a").getAttribute("href");
  await go(other, finding);
  await other.getByText("acknowledged by ada: seen").waitFor();
  await other.getByLabel("Your name").fill("bob");
  await other.getByLabel("Token").fill(TOKEN);
  await other.getByRole("button", { name: "Reopen" }).click();
  await other.getByText("reopened by bob").waitFor();
  for (const one of [page, other]) await one.context().close();
}

async function aServerThatIsGoneIsSaid() {
  const page = await go(await open(), "/");
  assert(!(await page.locator("#lost").isVisible()));
  await ask("stop");
  await page.locator("#lost").waitFor({ state: "visible", timeout: 30_000 });
}

const stories = [
  everyPageIsReadable,
  theKeyboardIsEnough,
  whatIsLostShowsWithoutAReload,
  manyAreAcknowledgedAtOnce,
  aServerThatIsGoneIsSaid,
];
for (const story of stories) {
  await story();
  if (story !== aServerThatIsGoneIsSaid) assert.deepEqual(complaints, [], story.name);
  console.error(`${story.name}: ok`);
}
await browser.close();
process.exit(0);
