/** Sign-in by a real OpenID provider: the button, the provider's forms, and back to the page that was wanted. */
import type { Browser } from 'playwright-core';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { base, launch } from './browser.ts';

const issuer = process.env.SIGNALBOX_OIDC_ISSUER;
let browser: Browser;

beforeAll(async () => {
  browser = await launch();
});
afterAll(() => browser.close());

test.skipIf(!issuer)('somebody signs in at the OpenID provider and comes back to the page they wanted', async () => {
  const context = await browser.newContext({ viewport: { width: 1440, height: 900 } });
  context.setDefaultTimeout(30_000);
  const page = await context.newPage();
  await page.goto(`${base}/console/schedules?q=nightly`);
  await page.getByRole('link', { name: 'Sign in with Example SSO' }).click();
  await page.waitForURL((url) => url.href.startsWith(issuer!));
  await page.locator('input[name="login"]').fill('sub-carol');
  await page.locator('input[name="password"]').fill('any');
  await page.locator('button[type="submit"]').click();
  const consent = page.locator('form input[name="prompt"][value="consent"]');
  await consent.or(page.locator('h1:has-text("Schedules")')).first().waitFor({ state: 'attached' });
  if (await consent.count()) await page.locator('button[type="submit"]').click();
  await page.waitForURL(`${base}/console/schedules?q=nightly`);
  await page.getByRole('heading', { level: 1, name: 'Schedules' }).waitFor();
  const me = await (await context.request.get(`${base}/api/v1/me`)).json();
  expect(me).toMatchObject({ name: 'carol', bindings: [{ role: 'viewer' }] });
  expect(await page.getByRole('button', { name: /new schedule/i }).count(), 'a viewer is offered no change').toBe(0);
  await page.getByRole('button', { name: 'Account and preferences' }).click();
  await page.getByRole('menuitem', { name: 'Sign out' }).click();
  await page.getByRole('link', { name: 'Sign in with Example SSO' }).waitFor();
  expect((await context.request.get(`${base}/api/v1/me`)).status()).toBe(401);
  await context.close();
});
