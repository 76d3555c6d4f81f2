/** The console in a real Chromium against the real stack. */
import type { Browser, BrowserContext } from 'playwright-core';
import { afterAll, beforeAll, expect, inject, test } from 'vitest';
import { adminPassword, base, launch, onPage, open, signedIn } from './browser.ts';
import { api, PASSWORD, reprocess } from './seed.ts';

let browser: Browser;
let admin: BrowserContext;
const made = inject('ids');

beforeAll(async () => {
  browser = await launch();
  admin = await signedIn(browser, 'admin', adminPassword());
});
afterAll(() => browser?.close());

test('what others do appears without a reload', () =>
  onPage(admin, async (page) => {
    await open(page, '/runs?q=Seen+live');
    await page.getByText('live', { exact: true }).waitFor();
    await api('POST', '/plans', {
      name: 'Seen live',
      items: [{ key: 'one', engine: 'scripted', work: { kind: 'scripted', script: {} } }],
    });
    await page.getByRole('link', { name: 'Seen live' }).first().waitFor();
  }));

test('a viewer is offered nothing that changes, and is refused by the server anyway', async () => {
  const context = await signedIn(browser, 'vera', PASSWORD);
  await onPage(context, async (page) => {
    await open(page, `/runs/${made.live}`);
    for (const name of ['Pause', 'Cancel'])
      expect(await page.getByRole('button', { name, exact: true }).count()).toBe(0);
    expect(await page.getByRole('link', { name: 'Audit' }).count()).toBe(0);
    const csrf = await page.evaluate(() => localStorage.getItem('signalbox.csrf'));
    const answer = await context.request.post(`${base}/api/v1/plans/${made.live}/pause`, {
      data: {},
      headers: { 'X-CSRF-Token': csrf! },
    });
    expect(answer.status()).toBe(403);
  });
  await context.close();
});

test('the logs of workers: per worker, by time, found, paused; the address with a token is refused', () =>
  onPage(admin, async (page, problems) => {
    const { id } = await reprocess(2);
    const refused = await page.goto(`${base}/api/admin/reprocessing/jobs/${id}/logs/view?token=t`);
    expect(refused?.status()).toBe(400);
    await page.goto(`${base}/api/admin/reprocessing/jobs/${id}/logs/view`);
    await page.getByRole('heading', { name: 'Logs of workers' }).waitFor();
    expect(page.url()).toBe(`${base}/console/reprocessing/${id}/logs`);
    for (const worker of [0, 1])
      await page
        .getByRole('region', { name: `Log of worker ${worker}` })
        .getByText(/files to read/)
        .first()
        .waitFor();
    await page.locator('.log-line.warning', { hasText: 'not JSON' }).first().waitFor();
    await page.getByText('Chronological').click();
    const all = page.getByRole('region', { name: 'Log of all workers' });
    await all.getByText('[W0]').first().waitFor();
    await all.getByText('[W1]').first().waitFor();
    await page.getByLabel('Find in the logs').fill('not JSON');
    await page.getByRole('button', { name: 'Find next' }).click();
    await all.locator('.log-line.found.marked', { hasText: 'not JSON' }).waitFor();
    expect(await page.getByLabel('Follow').isChecked()).toBe(false);
    await page.getByRole('button', { name: 'Pause' }).click();
    await page.getByText('paused').waitFor();
    await page.getByRole('button', { name: 'Resume' }).click();
    await page.getByText('read again every 2 s').waitFor();
    expect(problems).toEqual([]);
    expect((await api('POST', `/api/admin/reprocessing/jobs/${id}/cancel`, {})).status).toBe(202);
  }));

test('lines that could not be sent are shown as they begin to an operator, and to no viewer', async () => {
  const path = `/reprocessing/${made.reprocessing}`;
  await onPage(admin, async (page) => {
    await open(page, path);
    const lines = page.getByRole('region', { name: 'Lines that could not be sent' }).first();
    await lines.getByText('{"cut').first().waitFor();
  });
  const context = await signedIn(browser, 'vera', PASSWORD);
  await onPage(context, async (page) => {
    await open(page, path);
    await page.getByRole('region', { name: 'Workers' }).first().waitFor();
    expect(await page.getByText('Lines that could not be sent').count()).toBe(0);
  });
  await context.close();
});

test('by keyboard alone: to the runs, to a row, into it', () =>
  onPage(admin, async (page) => {
    await open(page, '/');
    await page.keyboard.press('g');
    await page.keyboard.press('r');
    await page.getByRole('heading', { name: 'Runs', level: 1 }).waitFor();
    await page.locator('main tbody tr').first().waitFor();
    await page.keyboard.press('j');
    await page.keyboard.press('Enter');
    await page.getByRole('tab', { name: 'Timeline' }).waitFor();
    await page.keyboard.press('?');
    await page.getByRole('dialog', { name: 'Keyboard' }).waitFor();
  }));

test('the first load is at most 300 KiB of compressed script before the page can be used', async () => {
  const context = await signedIn(browser, 'admin', adminPassword());
  await onPage(context, async (page) => {
    await open(page, '/runs');
    const bytes = await page.evaluate(() =>
      performance
        .getEntriesByType('resource')
        .reduce(
          (sum, one) => sum + (one.name.endsWith('.js') ? (one as PerformanceResourceTiming).encodedBodySize : 0),
          0,
        ),
    );
    expect(bytes).toBeGreaterThan(50_000);
    expect(bytes).toBeLessThanOrEqual(300 * 1024);
  });
  await context.close();
});
