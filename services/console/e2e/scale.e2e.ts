/** Much of everything: a plan of 100,000 items, five thousand changes a minute, and how soon a page can be used. */
import { readFileSync } from 'node:fs';
import { loadavg } from 'node:os';
import type { Browser, BrowserContext, Page } from 'playwright-core';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { adminPassword, base, launch, onPage, open, signedIn } from './browser.ts';
import { quantile, scrolled } from './frames.ts';
import { api } from './seed.ts';

let browser: Browser;
let admin: BrowserContext;

beforeAll(async () => {
  browser = await launch();
  admin = await signedIn(browser, 'admin', adminPassword());
});
afterAll(() => browser?.close());

/** Rows of the items that are seen now, and whether each is right under where the list is scrolled to. */
const rowsSeen = (page: Page) =>
  page.evaluate(() => {
    const box = document.querySelector('.items')!;
    const { top, bottom } = box.getBoundingClientRect();
    const head = box.querySelector('.item-head')!.getBoundingClientRect().height;
    const rows = [...box.querySelectorAll<HTMLElement>('.item-row:not(.item-head)')];
    const seen = rows.map((row) => ({ box: row.getBoundingClientRect(), cells: [...row.children].map((one) => one.textContent!) })).filter((row) => row.box.bottom > top + head && row.box.top < bottom);
    return {
      first: Math.min(...seen.map((row) => row.box.top)) - top - head,
      covered: seen.reduce((sum, row) => sum + row.box.height, 0) >= bottom - top - head - 4,
      right: seen.every(({ box: at, cells }) => {
        const number = Number(cells[0]!.replaceAll(',', '')) - 1;
        return cells[1] === `part-${String(number).padStart(6, '0')}` && Math.abs(at.top - top - head - (number * 34 - box.scrollTop)) < 2;
      }),
    };
  }); // prettier-ignore

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
    const pages = new Set<string>(); // the same one may be read again
    page.on('request', (request) => /\/items\?/.test(request.url()) && pages.add(request.url()));
    await open(page, `/runs/${body.id}`);
    await page.getByText('of 100,000').waitFor({ timeout: 100_000 });
    expect(pages.size).toBeLessThanOrEqual(3);
    await page.evaluate(() => document.querySelector('.items')!.scrollBy(0, 1)); // all rows of a scrolled list exist
    await page.locator('.item-row').evaluateAll((rows) => rows.forEach((row) => row.setAttribute('data-before', '')));
    const frames = await scrolled(browser, page, 120, 600);
    const parts = Object.entries(frames.parts).map(([part, each]) => `${part} ${each.toFixed(2)}`);
    console.log(
      `scrolling, 120 pixels a frame: script, style and layout half under ${quantile(frames.work, 0.5)} ms, 95 % under ${quantile(frames.work, 0.95)} ms, 99 % under ${quantile(frames.work, 0.99)} ms of processor a frame\n` +
        `  a frame: ${parts.join(', ')} ms\n` +
        `  ${((frames.took.length * 1000) / frames.took.reduce((sum, each) => sum + each)).toFixed(1)} frames a second without the trace: half within ${quantile(frames.took, 0.5)} ms, 95 % within ${quantile(frames.took, 0.95)} ms; ${pages.size} pages read, load ${loadavg()[0]!.toFixed(1)}`,
    );
    expect(pages.size).toBeLessThan(40);
    expect(await page.locator('.item-row').count()).toBeLessThan(60);
    expect(await page.locator('.item-row:not([data-before])').count()).toBe(0); // elements are used again, none is made
    for (const down of [0, 17, -4000, 999]) {
      await page.evaluate((by) => document.querySelector('.items')!.scrollBy(0, by), down);
      await expect.poll(() => rowsSeen(page)).toMatchObject({ covered: true, right: true });
    }
    await page.evaluate(() => (document.querySelector('.items')!.scrollTop = 0));
    await page.getByText('part-000000', { exact: true }).waitFor();
  }), 300_000); // prettier-ignore

test('the first page takes text before everything on it is read', async () => {
  const context = await signedIn(browser, 'admin', adminPassword());
  await onPage(context, async (page) => {
    let answer = () => {};
    const held = new Promise<void>((go) => (answer = go));
    await page.route(/\/api\/v1\/plans/, async (route) => {
      await held;
      await route.continue();
    });
    const begun = Date.now();
    await page.goto(`${base}/console/runs`);
    await page.getByLabel('Name').fill('typed');
    console.log(`first load to a field that takes text: ${Date.now() - begun} ms, load ${loadavg()[0]!.toFixed(1)}`);
    expect(await page.getByLabel('Loading').count()).toBeGreaterThan(0);
    answer();
    await page.waitForURL(/q=typed/);
  });
  await context.close();
});

const folder = process.env.SIGNALBOX_STACK_FOLDER;
test.skipIf(!folder)('thousands of changes, the server killed meanwhile: few calls, and nothing is missing at the end', () =>
  onPage(admin, async (page) => {
    let events = 0;
    let calls = 0;
    page.on('request', (request) => (calls += /\/api\//.test(request.url()) ? 1 : 0));
    page.on('websocket', (socket) => socket.on('framereceived', ({ payload }) => {
      events += (JSON.parse(String(payload)) as { events?: unknown[] }).events?.length ?? 0;
    }));
    await open(page, '/runs?q=Sustained');
    await page.getByText('live', { exact: true }).waitFor();
    const item = (at: number) => ({ key: `k${at}`, engine: 'scripted', work: { kind: 'scripted', script: { run_seconds: 0.2 } } });
    const made: string[] = [];
    const begun = Date.now();
    for (let at = 0; at < 30; at++) {
      const name = `Sustained ${begun} ${at}`;
      const answer = await api('POST', '/plans', { name, items: Array.from({ length: 120 }, (_, at) => item(at)) }).catch(() => null);
      if (answer?.status === 202) made.push(answer.body.id);
      if (at === 12) {
        const { pid } = JSON.parse(readFileSync(`${folder}/api-gateway/child.json`, 'utf8')) as { pid: number };
        process.kill(pid, 'SIGKILL');
        await page.getByText(/server away|not live/).waitFor({ timeout: 60_000 });
        expect(await page.locator('main tbody tr').count()).toBeGreaterThan(0);
        await page.getByText('live', { exact: true }).waitFor({ timeout: 120_000 });
      }
      await new Promise((next) => setTimeout(next, 1_000)); // a steady stream, not a wait
    }
    for (const id of made) await api('GET', `/plans/${id}?wait=60s&until=end`);
    const seconds = (Date.now() - begun) / 1000;
    await page.waitForFunction((wanted) => {
      const rows = [...document.querySelectorAll('main tbody tr')];
      return rows.length >= wanted && rows.every((row) => /succeeded/.test(row.textContent!));
    }, Math.min(made.length, 50), { timeout: 60_000 });
    console.log(`${made.length} runs of 120 tasks in ${seconds.toFixed(0)} s: ${events} changes came to the page, ${Math.round((60 * events) / seconds)} a minute, ${calls} calls of it`);
    expect(made.length).toBeGreaterThan(20);
    expect(events).toBeGreaterThan(3_000);
    expect(calls).toBeLessThan(events / 4); // changes are gathered
  }), 400_000); // prettier-ignore
