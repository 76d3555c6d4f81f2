/** Much of everything: a plan of 100,000 items, five thousand changes a minute, and how soon a page can be used. */
import { availableParallelism, loadavg } from 'node:os';
import type { Browser, BrowserContext, Page } from 'playwright-core';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { adminPassword, launch, onPage, open, signedIn } from './browser.ts';
import { api } from './seed.ts';

let browser: Browser;
let admin: BrowserContext;

beforeAll(async () => {
  browser = await launch();
  admin = await signedIn(browser, 'admin', adminPassword());
});
afterAll(() => browser?.close());

/** How many want each core of this machine: times are worth that much less. */
const crowd = () => Math.max(1, loadavg()[0]! / availableParallelism());

/** Scroll the items evenly, and say how long the frames took, in milliseconds, sorted. */
const scrolled = (page: Page, pixels: number, frames: number) =>
  page.evaluate(
    async ([by, count]) => {
      const box = document.querySelector('.items')!;
      const took: number[] = [];
      let before = performance.now();
      for (let at = 0; at < count!; at++) {
        box.scrollTop += by!;
        await new Promise(requestAnimationFrame);
        took.push(performance.now() - before);
        before = performance.now();
      }
      return took.sort((a, b) => a - b);
    },
    [pixels, frames],
  );

test('a plan of 100,000 items is scrolled without fetching all, and back again', () =>
  onPage(admin, async (page) => {
    const items = Array.from({ length: 100_000 }, (_, at) => ({
      key: `part-${String(at).padStart(6, '0')}`,
      engine: 'scripted',
      work: { kind: 'scripted', script: {} },
    }));
    const { status, body } = await api('POST', '/plans', { name: 'A hundred thousand', rules: { limit: 0 }, items });
    expect(status).toBe(202);
    await expect.poll(async () => (await api('GET', `/plans/${body.id}`)).body.counts.total, { timeout: 100_000 }).toBe(100_000);
    let pages = 0;
    page.on('request', (request) => (pages += /\/items\?/.test(request.url()) ? 1 : 0));
    await open(page, `/runs/${body.id}`);
    await page.getByText('of 100,000').waitFor();
    expect(pages).toBeLessThanOrEqual(3);
    const took = await scrolled(page, 120, 600);
    const at = (part: number) => took[Math.floor(took.length * part)]!.toFixed(1);
    console.log(`frames of scrolling: half under ${at(0.5)} ms, 95 % under ${at(0.95)} ms, ${pages} pages read`);
    expect(Number(at(0.5))).toBeLessThan(17 * crowd());
    expect(pages).toBeLessThan(40);
    expect(await page.locator('.item-row').count()).toBeLessThan(80);
    await page.evaluate(() => (document.querySelector('.items')!.scrollTop = 0));
    await page.getByRole('link', { name: 'part-000000' }).or(page.getByText('part-000000')).first().waitFor();
  }), 200_000); // prettier-ignore

test('five thousand changes a minute: few calls, and the page answers', () =>
  onPage(admin, async (page) => {
    await open(page, '/runs');
    await page.getByText('live', { exact: true }).waitFor();
    const names = ['Many changes 1', 'Many changes 2', 'Many changes 3', 'Many changes 4'];
    const item = (at: number) => ({ key: `k${at}`, engine: 'scripted', work: { kind: 'scripted', script: { run_seconds: 0.1 } } });
    let calls = 0;
    page.on('request', (request) => (calls += /\/api\//.test(request.url()) ? 1 : 0));
    for (const name of names)
      await api('POST', '/plans', { name, rules: { limit: 50 }, items: Array.from({ length: 400 }, (_, at) => item(at)) });
    const begun = Date.now();
    await page.getByRole('link', { name: names[3]! }).first().waitFor();
    await page.waitForFunction(
      (wanted) => [...document.querySelectorAll('main tbody tr')].filter((row) => wanted.some((name) => row.textContent!.includes(name)) && /succeeded/.test(row.textContent!)).length >= 4,
      names,
      { timeout: 100_000 },
    );
    const seconds = (Date.now() - begun) / 1000;
    console.log(`1,600 tasks in ${seconds.toFixed(1)} s: ${calls} calls of the page`);
    expect(calls).toBeLessThan(20 + 6 * seconds);
  }), 200_000); // prettier-ignore

test('the first page can be used soon', async () => {
  const context = await signedIn(browser, 'admin', adminPassword());
  const page = await context.newPage();
  const begun = Date.now();
  await open(page, '/runs');
  await page.getByLabel('Name').fill('typed');
  const took = Date.now() - begun;
  console.log(`first load to a field that takes text: ${took} ms`);
  expect(took).toBeLessThan(1_500 * crowd());
  await context.close();
});
