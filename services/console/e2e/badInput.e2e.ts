/** What nobody wants to see, shown calmly: nothing of it is executed, nothing typed is lost. */
import { readFileSync } from 'node:fs';
import type { Browser, BrowserContext, Page } from 'playwright-core';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { adminPassword, base, launch, onPage, open, signedIn } from './browser.ts';
import { api, PASSWORD } from './seed.ts';

let browser: Browser;
let admin: BrowserContext;

beforeAll(async () => {
  browser = await launch();
  admin = await signedIn(browser, 'admin', adminPassword());
});
afterAll(() => browser?.close());

const MARKUP = '<img src=x onerror="document.title=1"><script>document.title=1</script>';
const scripted = (script: object) => ({ kind: 'scripted', script });

async function ended(name: string, script: object, more: object = {}): Promise<string> {
  const body = { name, items: [{ key: 'one', engine: 'scripted', work: scripted(script) }], ...more };
  const { body: plan } = await api('POST', '/plans', body);
  await api('GET', `/plans/${plan.id}?wait=60s&until=end`);
  return plan.id as string;
}

const taskOf = async (plan: string) => (await api('GET', `/plans/${plan}/tasks`)).body.items[0].id as string;
const tooWide = (page: Page) =>
  page.evaluate(() => document.documentElement.scrollWidth - document.documentElement.clientWidth);

test('markup in names, reasons and errors stays text', () =>
  onPage(admin, async (page, problems) => {
    const plan = await ended(MARKUP, { exit_code: 1, message: MARKUP, log: MARKUP }, { reason: MARKUP });
    for (const path of [`/runs/${plan}`, `/tasks/${await taskOf(plan)}`, '/runs', '/']) {
      await open(page, path);
      expect(await page.title()).not.toBe('1');
      expect(await page.locator('main img[src="x"], main script').count()).toBe(0);
    }
    expect(problems).toEqual([]);
  }));

test('texts of thousands of characters, from left and from right, break no page at any width', () =>
  onPage(admin, async (page) => {
    const long = 'x'.repeat(199);
    const reason = `${'word '.repeat(200)}${'y'.repeat(1000)}`.slice(0, 2000);
    const plans = [
      await ended(long, { exit_code: 1, message: 'z'.repeat(10_000), log: 'q'.repeat(10_000) }, { reason }),
      await ended('‮מחר נטען הכל מחדש ⁦abc', {}),
    ];
    const paths = plans.map((plan) => `/runs/${plan}`);
    for (const path of [...paths, `/tasks/${await taskOf(plans[0]!)}`, '/runs', '/'])
      for (const width of [1440, 390]) {
        await page.setViewportSize({ width, height: 844 });
        await open(page, path);
        expect(`${path} at ${width}: ${await tooWide(page)}`).toBe(`${path} at ${width}: 0`);
      }
    await open(page, `/runs/${plans[1]}`);
    expect(await page.getByRole('heading', { level: 1 }).innerText()).not.toMatch(/[\u202e\u2066]/);
  }));

test('colours of a terminal are shown, its control characters do nothing', () =>
  onPage(admin, async (page) => {
    const log = ['\u001b[31mred\u001b[0m plain', '\u001b]0;title\u0007after', '\u001b[2J\u001b[Hcleared', 'bell\u0007', 'a\rb', '\u202eturned'].join('\n'); // prettier-ignore
    const plan = await ended('Terminal', { log });
    await open(page, `/tasks/${await taskOf(plan)}`);
    await page.locator('.log .ansi-red', { hasText: 'red' }).waitFor();
    const text = await page.locator('.log').innerText();
    expect(text).toMatch(/after/);
    expect(text).toMatch(/cleared/);
    expect(text).not.toMatch(/[\u0000\u0007\u001b\u202e]/);
  }));

test('a log of a million lines opens at its end, is searched and scrolled', () =>
  onPage(admin, async (page) => {
    const plan = await ended('A million lines', {});
    const task = await taskOf(plan);
    const lines = 1_000_000;
    let body = '';
    for (let at = 1; at <= lines; at++) body += at === 999_000 ? 'ERROR the one\n' : `line ${at}\n`;
    body += '\0end\n';
    await page.route(/\/logs\?/, (route) => route.fulfill({ body, contentType: 'text/plain' }));
    const begun = Date.now();
    await open(page, `/tasks/${task}`);
    await page.getByText(/1,000,000 lines/).waitFor({ timeout: 60_000 });
    console.log(`a million lines: ${Date.now() - begun} ms`);
    await page.locator('.log-line', { hasText: `line ${lines}` }).waitFor();
    expect(await page.locator('.log-line').count()).toBeLessThan(200);
    await page.getByLabel('Find in the log').fill('ERROR the one');
    await page.getByRole('button', { name: 'Find next' }).click();
    await page.locator('.log-line.found', { hasText: 'ERROR the one' }).waitFor();
  }));

test('a session that ends in the middle of a form loses nothing typed', async () => {
  const context = await signedIn(browser, 'olga', PASSWORD);
  await onPage(context, async (page) => {
    await open(page, '/pipelines');
    await page.getByRole('button', { name: 'Run Daily recommendations' }).click();
    const reason = page.getByRole('dialog').getByLabel('Reason');
    await reason.fill('typed with care');
    await context.clearCookies();
    // as by Enter: another call of the page may be refused first, and the question then covers the button
    await page.getByRole('dialog').getByRole('button', { name: 'Run', exact: true }).dispatchEvent('click');
    const again = page.getByRole('dialog', { name: 'Your session has ended' });
    await again.waitFor({ timeout: 60_000 });
    expect(await reason.inputValue()).toBe('typed with care');
    await again.getByLabel('User name').fill('olga');
    await again.getByRole('textbox', { name: 'Password' }).fill(PASSWORD);
    await again.getByRole('button', { name: 'Sign in' }).click();
    await again.waitFor({ state: 'hidden' });
    expect(await reason.inputValue()).toBe('typed with care');
    await page.getByRole('dialog').getByRole('button', { name: 'Run', exact: true }).click();
    await page.waitForURL(/\/runs\//);
  });
  await context.close();
});

test('two people who edit one thing: the second sees the difference, and keeps both changes', () =>
  onPage(admin, async (page) => {
    const path = '/jobs/edited-by-two';
    await api('DELETE', path);
    const job = { id: 'edited-by-two', name: 'Edited by two', engine: 'scripted', work: scripted({}), description: 'as it was' };
    await api('POST', '/jobs', job);
    await open(page, path);
    await page.getByRole('button', { name: 'Edit', exact: true }).click();
    const text = page.getByLabel('Definition');
    await text.waitFor();
    await text.fill((await text.inputValue()).replace('Edited by two', 'My name'));
    await api('PUT', path, { ...job, description: 'changed by another' });
    await page.getByRole('button', { name: 'Save' }).click();
    const table = page.getByRole('region', { name: 'What both changed' });
    await table.getByText('changed by another').waitFor();
    expect(await table.getByRole('row', { name: /name/ }).innerText()).toMatch(/you[\s\S]*Edited by two[\s\S]*My name/);
    await page.getByRole('button', { name: 'My changes on top of theirs' }).click();
    await page.getByRole('button', { name: 'Save' }).click();
    await page.getByRole('heading', { name: 'My name' }).waitFor();
    const { body } = await api('GET', path);
    expect(body).toMatchObject({ name: 'My name', description: 'changed by another' });
  })); // prettier-ignore

test('what a refused form says names the field, and the text stays', () =>
  onPage(admin, async (page) => {
    await open(page, '/schedules/nightly');
    await page.getByRole('button', { name: 'Edit', exact: true }).click();
    const text = page.getByLabel('Definition');
    await text.waitFor();
    await text.fill((await text.inputValue()).replace('0 30 2 * * *', 'never at all'));
    await page.getByRole('button', { name: 'Save' }).click();
    await page.getByRole('dialog').getByRole('alert').getByText(/cron/).first().waitFor();
    await page.keyboard.press('Escape');
    await page.getByRole('button', { name: 'Edit', exact: true }).click();
    expect(await page.getByLabel('Definition').inputValue()).toContain('never at all');
  }));

test('a server of a newer version: states, kinds and fields it does not know yet are shown as they are', () =>
  onPage(admin, async (page, problems) => {
    const plan = await ended('Newer server', {});
    await page.route(/\/api\/v1\/(plans|tasks)(?!.*\/logs)/, async (route) => {
      const response = await route.fetch();
      const text = (await response.text()).replaceAll('"SUCCEEDED"', '"HIBERNATING"').replaceAll('"run"', '"postpone"');
      await route.fulfill({ response, body: text.replace(/^\{/, '{"mood":["new",{"deep":1}],') });
    });
    for (const path of [`/runs/${plan}`, `/tasks/${await taskOf(plan)}`, '/runs']) {
      await open(page, path);
      await page.getByText(/hibernating/i).first().waitFor();
    }
    expect(problems).toEqual([]);
  })); // prettier-ignore

test('when the server is away what was read stays, with its age; when it is back the page goes on', () =>
  onPage(admin, async (page) => {
    await open(page, '/engines');
    await page.getByText('live', { exact: true }).waitFor();
    await page.route(/\/api\//, (route) => route.abort());
    await page.getByText(/server away/).waitFor({ timeout: 60_000 });
    await page.getByText(/Shown as it was/).first().waitFor({ timeout: 60_000 });
    await page.getByRole('link', { name: 'scripted' }).first().waitFor();
    await page.unroute(/\/api\//);
    await page.getByText(/Shown as it was/).first().waitFor({ state: 'hidden', timeout: 60_000 });
  })); // prettier-ignore

const folder = process.env.SIGNALBOX_STACK_FOLDER;
test.skipIf(!folder || !base.includes(portOf(folder)))('the server killed while one looks: it is live again by itself', () =>
  onPage(admin, async (page) => {
    await open(page, '/runs');
    await page.getByText('live', { exact: true }).waitFor();
    const { pid } = JSON.parse(readFileSync(`${folder}/api-gateway/child.json`, 'utf8')) as { pid: number };
    process.kill(pid, 'SIGKILL');
    await page.getByText(/server away|not live/).waitFor({ timeout: 60_000 });
    expect(await page.locator('main tbody tr').count()).toBeGreaterThan(0);
    await page.getByText('live', { exact: true }).waitFor({ timeout: 90_000 });
    await api('POST', '/plans', { name: 'After the kill', items: [{ key: 'one', engine: 'scripted', work: scripted({}) }] });
    await page.getByRole('link', { name: 'After the kill' }).first().waitFor();
  })); // prettier-ignore

function portOf(stack: string): string {
  const { api: port } = JSON.parse(readFileSync(`${stack}/api-gateway/ports.json`, 'utf8')) as { api: number };
  return `:${port}`;
}
