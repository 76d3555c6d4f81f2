/** Every dialog and menu in both schemes: rules of WCAG 2.2 AA, nothing past the edge of a phone, closed by Escape. */
import { mkdirSync } from 'node:fs';
import type { Browser, BrowserContext, Page } from 'playwright-core';
import { afterAll, beforeAll, expect, inject, test } from 'vitest';
import { broken } from './axe.ts';
import { adminPassword, launch, onPage, open, signedIn } from './browser.ts';
import { COORDINATOR, startOozie, type Oozie } from './oozieAnswers.ts';
import type { Ids } from './pages.ts';
import { api } from './seed.ts';

type All = Ids & { preview: string };
type Dialog = {
  at: (ids: All) => string;
  by: RegExp | ((page: Page) => Promise<unknown>);
  before?: (page: Page) => Promise<unknown>;
};

const folder = process.env.SIGNALBOX_SHOTS;
const only = process.env.SIGNALBOX_PAGES?.split(',');
const OPENED = '[role="dialog"], [role="menu"]';

const LETTER = {
  id: '28329f74-c344-57e2-a4ba-e70255e59acb', service: 'planner', topic: 'signalbox.requests.v1', partition: 3, offset: 1042,
  key: '0195e1a0-7c00-7000-8000-000000000001', event_type: 'signalbox.plan.request.v1', event_id: null, operation_id: null,
  error: 'Invalid JSON: EOF while parsing an object at line 1 column 1', attempts: 1, state: 'PARKED', value_bytes: 1,
  parked_at: '2026-03-29T00:00:07.250000Z',
}; // prettier-ignore

/** A message that was parked is made up here: no client can send one that cannot be read. */
const letters = async (page: Page) => {
  const page1 = JSON.stringify({ items: [LETTER], next_cursor: null });
  await page.route(/\/api\/v1\/dead-letters/, (route) =>
    route.fulfill({ contentType: 'application/json', body: /dead-letters\/2/.test(route.request().url()) ? JSON.stringify(LETTER) : page1 }),
  );
}; // prettier-ignore

const NO_SESSION = {
  type: '/problems/unauthenticated', title: 'Who you are is not known', status: 401,
  detail: 'the session has ended', trace_id: '',
}; // prettier-ignore

const unknown = (page: Page) =>
  page.route(/\/api\/v1\/tasks\/[^/?]+$/, async (route) => {
    const response = await route.fetch();
    await route.fulfill({ response, body: (await response.text()).replace('"state":"FAILED"', '"state":"UNKNOWN"') });
  });

const chosen = (name: RegExp) => async (page: Page) => {
  await page.locator('main tbody input[type="checkbox"]').first().check();
  await page.getByRole('button', { name }).click();
};
const inTable = (label: string, name: RegExp) => (page: Page) =>
  page.getByRole('region', { name: label }).getByRole('button', { name }).first().click();
const ended = async (page: Page) => {
  await page.route(/\/api\/v1\//, (route) =>
    route.fulfill({ status: 401, contentType: 'application/problem+json', body: JSON.stringify(NO_SESSION) }),
  );
};

const DIALOGS: Record<string, Dialog> = {
  keyboard: { at: () => '/', by: (page) => page.keyboard.press('?') },
  palette: { at: () => '/', by: (page) => page.keyboard.press('Control+k') },
  account: { at: () => '/', by: /^Account and preferences$/ },
  'session-ended': { at: () => '/', by: ended },
  bulk: { at: () => '/runs', by: /^Act on these/ },
  copy: { at: () => '/runs', by: /^Copy as$/ },
  pause: { at: (ids) => `/runs/${ids.live}`, by: /^Pause$/ },
  cancel: { at: (ids) => `/runs/${ids.live}`, by: /^Cancel$/ },
  retry: { at: (ids) => `/runs/${ids.failed}`, by: /^Retry failures$/ },
  'rerun-steps': { at: (ids) => `/runs/${ids.failed}`, by: /^Rerun steps$/ },
  apply: { at: (ids) => `/runs/${ids.preview}`, by: /^Apply$/ },
  reject: { at: (ids) => `/runs/${ids.preview}`, by: /^Reject$/ },
  resolve: { at: (ids) => `/tasks/${ids.failedTask}`, before: unknown, by: /^Resolve$/ },
  start: { at: () => '/pipelines', by: /^Run Daily recommendations$/ },
  'new-pipeline': { at: () => '/pipelines', by: /^New pipeline$/ },
  'edit-pipeline': { at: () => '/pipelines/daily', by: /^Edit$/ },
  'delete-pipeline': { at: () => '/pipelines/daily', by: /^Delete$/ },
  'new-job': { at: () => '/jobs', by: /^New job$/ },
  reprocess: { at: () => '/reprocessing', by: /^Send again/ },
  'new-schedule': { at: () => '/schedules', by: /^New schedule$/ },
  'run-schedule': { at: () => '/schedules/nightly', by: /^Run now$/ },
  'pause-schedule': { at: () => '/schedules/nightly', by: /^Pause$/ },
  'resume-schedule': { at: () => '/schedules/half-minute', by: /^Resume$/ },
  backfill: { at: () => '/schedules/nightly', by: /^Backfill/ },
  'new-trigger': { at: () => '/triggers', by: /^New trigger$/ },
  silence: { at: () => '/incidents', by: /^Snooze/ },
  'register-engine': { at: () => '/engines', by: /^Register engine$/ },
  'test-engine': { at: () => '/engines/scripted', by: /^Test$/ },
  'drain-engine': { at: () => '/engines/scripted', by: /^Drain$/ },
  letter: { at: () => '/dead-letters', before: letters, by: /^All of/ },
  redrive: { at: () => '/dead-letters', before: letters, by: chosen(/^Redrive/) },
  drop: { at: () => '/dead-letters', before: letters, by: chosen(/^Drop/) },
  freeze: { at: () => '/freezes', by: /^Freeze…$/ },
  entry: { at: () => '/audit', by: /^All of entry/ },
  account2: { at: () => '/users', by: /^New account$/ },
  role: { at: () => '/users', by: /^Grant a role$/ },
  key: { at: () => '/users', by: /^New key$/ },
  disable: { at: () => '/users', by: /^Disable/ },
  revoke: { at: () => '/users', by: inTable('Keys', /^Revoke/) },
  'revoke-role': { at: () => '/users', by: inTable('Roles', /^Revoke/) },
  secret: { at: () => '/secrets', by: /^Set a secret$/ },
  forget: { at: () => '/secrets', by: /^Delete/ },
}; // prettier-ignore

let browser: Browser;
let admin: BrowserContext;
let ids: All;
let oozie: Oozie;

beforeAll(async () => {
  oozie = await startOozie();
  const engine = { id: 'oozie', name: 'Oozie', connection: { kind: 'oozie', url: oozie.url } };
  if ((await api('POST', '/engines', engine)).status === 409) await api('PUT', '/engines/oozie', engine);
  const selection = { kind: 'oozie_actions', coordinators: [COORDINATOR], rerun: { policy: 'failed' } };
  const preview = await api('POST', '/plans', {
    name: 'A preview',
    preview: true,
    selections: [{ engine: 'oozie', selection }],
  });
  await api('POST', '/pipelines/billing/run', { reason: 'an incident to look at' });
  ids = { ...inject('ids'), preview: preview.body.id };
  browser = await launch();
  admin = await signedIn(browser, 'admin', adminPassword());
  if (folder) mkdirSync(folder, { recursive: true });
});
afterAll(async () => {
  await browser?.close();
  oozie?.close();
});

async function opened(page: Page, { by }: Dialog): Promise<void> {
  if (typeof by === 'function') await by(page);
  else await page.getByRole('button', { name: by }).first().click();
  await page.locator(OPENED).first().waitFor();
  await page.waitForFunction(() => !document.querySelector('[role="dialog"] [aria-busy="true"]'));
}

/** What of the dialog is past the edge of the window, in pixels. */
const over = (page: Page) =>
  page.evaluate((selector) => {
    const box = document.querySelector(selector)!.getBoundingClientRect();
    return Math.max(0, -box.left, box.right - document.documentElement.clientWidth);
  }, OPENED);

test.each(Object.keys(DIALOGS).filter((name) => !only || only.includes(name)))('%s', (name) =>
  onPage(admin, async (page, problems) => {
    const dialog = DIALOGS[name]!;
    await page.emulateMedia({ colorScheme: 'light', reducedMotion: 'reduce' });
    await dialog.before?.(page);
    await open(page, dialog.at(ids));
    await opened(page, dialog);
    const found: string[] = [];
    for (const scheme of ['light', 'dark'] as const)
      for (const width of [1024, 390]) {
        const where = `${scheme}, ${width} px`;
        await page.emulateMedia({ colorScheme: scheme });
        await page.setViewportSize({ width, height: 844 });
        await page.locator(`html[data-mantine-color-scheme="${scheme}"]`).waitFor();
        await page.evaluate(() => new Promise((done) => requestAnimationFrame(() => requestAnimationFrame(done))));
        if (folder) await page.screenshot({ path: `${folder}/dialog-${name}-${width}-${scheme}.png` });
        if ((await over(page)) > 1) found.push(`${where}: ${await over(page)} px too wide`);
        // in the dark it is the same in other colours
        if (scheme === 'light') found.push(...(await broken(page, where, { within: OPENED })));
        else if (width === 390) found.push(...(await broken(page, where, { within: OPENED, colours: true })));
      }
    expect([...found, ...problems]).toEqual([]);
    if (name === 'session-ended') return; // it goes only when one signs in
    await page.keyboard.press('Escape');
    await page.locator(OPENED).first().waitFor({ state: 'hidden' });
  }),
);
