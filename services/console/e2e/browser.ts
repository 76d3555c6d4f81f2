/** A Chromium that is signed in, and the pages it is shown. */
import { readFileSync } from 'node:fs';
import { chromium, type Browser, type BrowserContext, type Page } from 'playwright-core';

export const base = process.env.SIGNALBOX_API_URL!;
const QUIET = ['--no-sandbox', '--disable-gpu', '--disable-quic', '--no-first-run', '--disable-background-networking', '--disable-component-update', '--disable-sync']; // prettier-ignore

export const launch = () =>
  chromium.launch({ executablePath: process.env.SIGNALBOX_CHROMIUM ?? '/usr/bin/chromium', args: QUIET });

export const adminPassword = () => readFileSync(process.env.SIGNALBOX_PASSWORD_FILE!, 'utf8').trim();

export async function signedIn(browser: Browser, username: string, password: string): Promise<BrowserContext> {
  const context = await browser.newContext({ viewport: { width: 1440, height: 900 } });
  context.setDefaultTimeout(90_000); // a busy machine is slow, not broken
  const answer = await context.request.post(`${base}/api/v1/auth/login`, {
    data: { username, password, cookie: true },
  });
  if (!answer.ok()) throw new Error(`login of ${username}: ${answer.status()} ${await answer.text()}`);
  const { csrf_token } = (await answer.json()) as { csrf_token: string };
  await context.addInitScript((csrf) => localStorage.setItem('signalbox.csrf', csrf), csrf_token);
  return context;
}

/** Open a page of the console and wait until it has loaded what it shows. */
export async function open(page: Page, path: string): Promise<void> {
  await page.goto(`${base}/console${path}`);
  await page.waitForSelector('h1');
  await page.waitForFunction(() => !document.querySelector('[aria-busy="true"]'));
}

/** A page that is closed afterwards; errors of scripts and of the content policy are gathered. */
export async function onPage(context: BrowserContext, run: (page: Page, problems: string[]) => Promise<void>) {
  const page = await context.newPage();
  const problems: string[] = [];
  page.on('pageerror', (error) => problems.push(String(error)));
  page.on(
    'console',
    (message) => message.type() === 'error' && /Content Security/.test(message.text()) && problems.push(message.text()),
  );
  try {
    await run(page, problems);
  } finally {
    await page.unrouteAll({ behavior: 'ignoreErrors' }); // a call may be under way
    await page.close();
  }
}
