/** Screenshots for looking at: `node e2e/shoot.ts OUT WIDTHS SCHEMES [PATH…]`. */
import { chromium } from 'playwright-core';
import { mkdirSync, readFileSync, writeFileSync, existsSync } from 'node:fs';
import { seed } from './seed.ts';

const [out = 'shots', widths = '1440', schemes = 'light', ...only] = process.argv.slice(2);
const base = process.env.SIGNALBOX_API_URL!;
mkdirSync(out, { recursive: true });
const kept = `${out}/seed.json`;
const made = existsSync(kept) ? JSON.parse(readFileSync(kept, 'utf8')) : await seed();
writeFileSync(kept, JSON.stringify(made));
const browser = await chromium.launch({
  executablePath: '/usr/bin/chromium',
  args: [
    '--no-sandbox',
    '--disable-gpu',
    '--disable-quic',
    '--disable-background-networking',
    '--disable-component-update',
    '--disable-sync',
    '--no-first-run',
  ],
});
const context = await browser.newContext();
const answer = await context.request.post(`${base}/api/v1/auth/login`, {
  data: {
    username: 'admin',
    password: readFileSync(process.env.SIGNALBOX_PASSWORD_FILE!, 'utf8').trim(),
    cookie: true,
  },
});
const { csrf_token } = await answer.json();
await context.addInitScript((csrf) => localStorage.setItem('signalbox.csrf', csrf), csrf_token);
const tasks = await (await context.request.get(`${base}/api/v1/plans/${made.failed}/tasks`)).json();
const failedTask = tasks.items.find((one: { state: string }) => one.state === 'FAILED') ?? tasks.items[0];
const pages: Record<string, string> = {
  overview: '/', runs: '/runs', plan: `/runs/${made.live}`, 'plan-failed': `/runs/${made.failed}?tab=graph`, 'plan-timeline': `/runs/${made.bulk}?tab=timeline`,
  'plan-markup': `/runs/${made.markup}`, task: `/tasks/${failedTask?.id}`, engines: '/engines', engine: '/engines/scripted', schedules: '/schedules', schedule: '/schedules/nightly',
  triggers: '/triggers', events: '/events', pipelines: '/pipelines', pipeline: '/pipelines/daily', jobs: '/jobs', incidents: '/incidents', 'dead-letters': '/dead-letters', audit: '/audit',
  users: '/users', secrets: '/secrets', freezes: '/freezes', status: '/status', rerun: '/rerun', reprocessing: '/reprocessing', nothing: '/no-such-page',
}; // prettier-ignore
for (const width of widths.split(',').map(Number))
  for (const scheme of schemes.split(',') as ('light' | 'dark')[])
    for (const [name, path] of Object.entries(pages)) {
      if (only.length && !only.includes(name)) continue;
      const page = await context.newPage();
      await page.setViewportSize({ width, height: width < 500 ? 844 : 900 });
      await page.emulateMedia({ colorScheme: scheme });
      page.on('console', (m) => ['error'].includes(m.type()) && console.log(name, m.text().slice(0, 300)));
      page.on('pageerror', (e) => console.log(name, 'PAGE ERROR', String(e).slice(0, 300)));
      await page.goto(`${base}/console${path}`);
      await page.waitForSelector('h1', { timeout: 15000 }).catch(() => console.log(name, 'no h1'));
      await page
        .waitForFunction(() => !document.querySelector('[aria-busy="true"]'), undefined, { timeout: 8000 })
        .catch(() => console.log(name, 'still loading'));
      await page.waitForTimeout(500);
      const over = await page.evaluate(
        () => document.documentElement.scrollWidth - document.documentElement.clientWidth,
      );
      if (over > 1) console.log(name, width, 'overflows by', over);
      await page.screenshot({ path: `${out}/${name}-${width}-${scheme}.png`, fullPage: process.env.FULL === '1' });
      await page.close();
    }
await browser.close();
