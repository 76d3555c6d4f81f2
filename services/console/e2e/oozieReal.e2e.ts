/**
 * The builder of reruns on a real Oozie (`make test-console-oozie`): what would be deleted, an apply that is refused
 * because the world moved, and an apply that runs.
 */
import { existsSync, mkdirSync, mkdtempSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { pathToFileURL } from 'node:url';
import type { Browser, BrowserContext, Locator, Page } from 'playwright-core';
import { afterAll, beforeAll, expect, test, vi } from 'vitest';
import { broken } from './axe.ts';
import { adminPassword, launch, onPage, open, signedIn } from './browser.ts';
import { api } from './seed.ts';

const url = process.env.SIGNALBOX_OOZIE_URL!;
const applications = process.env.SIGNALBOX_OOZIE_APPLICATIONS!;
const shots = process.env.SIGNALBOX_SHOTS;
const DAYS = ['2026-01-01', '2026-01-02', '2026-01-03'];

let browser: Browser;
let admin: BrowserContext;
let folder: string;
let coordinator: string;

type Answer = { id: string; status: string; externalId: string | null };

/** What somebody does at Oozie itself. */
async function oozie(method: string, path: string, query: object, properties?: Record<string, string>): Promise<Answer> {
  const words = Object.entries(properties ?? {}).map(([name, value]) => `<property><name>${name}</name><value>${value}</value></property>`);
  const response = await fetch(`${url}/v2/${path}?${new URLSearchParams({ ...query, 'user.name': 'alice' })}`, {
    method, headers: { 'Content-Type': 'application/xml' },
    ...(properties ? { body: `<configuration>${words.join('')}</configuration>` } : {}),
  });
  expect(response.ok, `${method} ${path}: ${response.status} ${response.headers.get('oozie-error-message')}`).toBe(true);
  const text = await response.text();
  return (text ? JSON.parse(text) : {}) as Answer;
} // prettier-ignore

const statusOf = async (id: string) => (await oozie('GET', `job/${id}`, { show: 'info', len: '100' })).status;

/** A coordinator of three days that all failed, each with an output that a clean-up would delete. */
async function failedCoordinator(): Promise<string> {
  for (const day of DAYS) {
    for (const part of ['raws', 'outs']) mkdirSync(join(folder, part, day), { recursive: true });
    writeFileSync(join(folder, 'raws', day, '_READY'), '');
    writeFileSync(join(folder, 'outs', day, 'part-0'), '12345');
  }
  const at = (name: string) => pathToFileURL(join(folder, name)).href;
  const { id } = await oozie('POST', 'jobs', {}, {
    'user.name': 'alice', 'oozie.coord.application.path': `${applications}/coord-data`, runKey: 'console',
    start: '2026-01-01T00:00Z', end: '2026-01-04T00:00Z', raws: at('raws'), outs: at('outs'), wfPath: `${applications}/wf-gate`,
  });
  await vi.waitFor(async () => expect(await statusOf(id)).toMatch(/KILLED|DONEWITHERROR/), { timeout: 90_000, interval: 500 });
  return id;
} // prettier-ignore

beforeAll(async () => {
  folder = mkdtempSync(join(tmpdir(), 'console-oozie-'));
  coordinator = await failedCoordinator();
  const engine = { id: 'real-oozie', name: 'Real Oozie', connection: { kind: 'oozie', url, user: 'alice', local_files: true }, observe_every_seconds: 0.5 }; // prettier-ignore
  const made = await api('POST', '/engines', engine);
  if (made.status === 409) await api('PUT', '/engines/real-oozie', engine);
  browser = await launch();
  admin = await signedIn(browser, 'admin', adminPassword());
});
afterAll(() => browser?.close());

const button = (scope: Page | Locator, name: string) => scope.getByRole('button', { name, exact: true });
const heading = (page: Page) => page.getByRole('heading', { level: 1 }).locator('xpath=..');

async function previewed(page: Page): Promise<void> {
  await open(page, '/rerun');
  await page.getByRole('combobox', { name: 'Oozie' }).click();
  await page.getByRole('option', { name: 'real-oozie' }).click();
  await page.getByLabel('Coordinators and bundles').first().fill(`${coordinator},`);
  await page.getByLabel('Delete outputs first').check();
  await button(page, 'Preview').click();
  await page.getByText('3 of 3 items would run').waitFor();
}

async function applied(page: Page): Promise<void> {
  await button(page, 'Apply').click();
  const ask = page.getByRole('dialog');
  await ask.waitFor();
  expect(await button(ask, 'Apply').isDisabled()).toBe(true);
  await ask.getByLabel('Yes, delete 3 outputs').check();
  await button(ask, 'Apply').click();
}

test('the preview names each directory that would be deleted, with its files and its size', () =>
  onPage(admin, async (page) => {
    await previewed(page);
    const deletes = page.getByRole('group', { name: 'Would be deleted' });
    await deletes.getByText('Deletes 3 outputs before it runs').waitFor();
    for (const day of DAYS)
      await deletes.getByText(new RegExp(`outs/${day}: 1 files, 5 bytes, the newest is part-0`)).waitFor();
    expect(await broken(page, 'a preview with deletions')).toEqual([]);
    await button(page, 'Apply').click();
    await page.getByRole('dialog').getByLabel('Yes, delete 3 outputs').waitFor();
    expect(await broken(page, 'its confirmation', { within: '[role="dialog"]' })).toEqual([]);
    await button(page.getByRole('dialog'), 'Not now').click();
    if (shots) await page.screenshot({ path: `${shots}/oozie-preview.png`, fullPage: true });
  }));

test('an apply is refused when somebody else reran an action meanwhile, and names that one', () =>
  onPage(admin, async (page) => {
    await previewed(page);
    const action = `${coordinator}@2`;
    const before = (await oozie('GET', `job/${action}`, {})).externalId;
    await oozie('PUT', `job/${coordinator}`, { action: 'coord-rerun', type: 'action', scope: '2', nocleanup: 'true' }, {});
    await expect.poll(async () => {
      const now = await oozie('GET', `job/${action}`, {});
      return now.status === 'KILLED' && now.externalId !== null && now.externalId !== before;
    }, { timeout: 60_000 }).toBe(true);
    await applied(page);
    const differences = page.getByRole('region', { name: 'Differences' });
    await differences.getByRole('row', { name: /@2/ }).waitFor();
    expect(await differences.getByRole('row').count()).toBe(2);
    await heading(page).getByText('refused').waitFor();
    for (const day of DAYS) expect(existsSync(join(folder, 'outs', day, 'part-0'))).toBe(true);
    if (shots) await page.screenshot({ path: `${shots}/oozie-refused.png`, fullPage: true });
  })); // prettier-ignore

test('an apply deletes what was confirmed and reruns each action once', () =>
  onPage(admin, async (page) => {
    for (const day of DAYS) writeFileSync(join(folder, 'raws', day, '_GATE'), '');
    await previewed(page);
    await applied(page);
    await heading(page).getByText('succeeded').waitFor({ timeout: 90_000 });
    for (const day of DAYS) expect(existsSync(join(folder, 'outs', day, 'part-0'))).toBe(false);
    if (shots) await page.screenshot({ path: `${shots}/oozie-applied.png`, fullPage: true });
  }));
