/** The pictures of docs/console.md: made by the test run with SIGNALBOX_TOUR=1. */
import { statSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import type { Browser, BrowserContext } from 'playwright-core';
import { afterAll, beforeAll, expect, inject, test } from 'vitest';
import { adminPassword, launch, onPage, open, signedIn } from './browser.ts';
import { startOozie, type Oozie } from './oozieAnswers.ts';
import { PAGES } from './pages.ts';
import { api } from './seed.ts';

const folder = fileURLToPath(new URL('../../../docs/console/', import.meta.url));

const TOUR = ['overview', 'run', 'task', 'run-graph', 'schedule', 'incidents', 'rerun'];

let browser: Browser;
let admin: BrowserContext;
let oozie: Oozie;

beforeAll(async () => {
  oozie = await startOozie();
  await api('POST', '/engines', { id: 'oozie', name: 'Oozie', connection: { kind: 'oozie', url: oozie.url } });
  browser = await launch();
  admin = await signedIn(browser, 'admin', adminPassword());
});
afterAll(async () => {
  await browser?.close();
  oozie?.close();
});

test.each(TOUR)('a picture of %s', (name) =>
  onPage(admin, async (page) => {
    await page.setViewportSize({ width: 1280, height: 800 });
    await open(page, PAGES[name]!(inject('ids')));
    await page.getByText('live', { exact: true }).waitFor();
    if (name === 'task') await page.locator('.log-line').first().waitFor();
    const path = join(folder, `${name}.png`);
    await page.screenshot({ path });
    expect(statSync(path).size).toBeGreaterThan(10_000);
  }),
);
