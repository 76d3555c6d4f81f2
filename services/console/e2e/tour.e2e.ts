/** The pictures of docs/console.md: made by the test run, kept with SIGNALBOX_TOUR=1. */
import { mkdtempSync, statSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import type { Browser, BrowserContext } from 'playwright-core';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { adminPassword, launch, onPage, open, signedIn } from './browser.ts';
import { startOozie, type Oozie } from './oozieAnswers.ts';
import { PAGES, seeded, type Ids } from './pages.ts';
import { api } from './seed.ts';

const docs = fileURLToPath(new URL('../../../docs/console/', import.meta.url));
const folder = process.env.SIGNALBOX_TOUR ? docs : mkdtempSync(join(tmpdir(), 'tour-'));
const TOUR = ['overview', 'run', 'task', 'run-graph', 'schedule', 'incidents', 'rerun'];

let browser: Browser;
let admin: BrowserContext;
let ids: Ids;
let oozie: Oozie;

beforeAll(async () => {
  ids = await seeded();
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
    await open(page, PAGES[name]!(ids));
    await page.getByText('live', { exact: true }).waitFor();
    if (name === 'task') await page.locator('.log-line').first().waitFor();
    const path = join(folder, `${name}.png`);
    await page.screenshot({ path });
    expect(statSync(path).size).toBeGreaterThan(10_000);
  }),
);
