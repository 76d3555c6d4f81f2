/** Every page in both schemes and three widths: rules of WCAG 2.2 AA, nothing past the edge, and a screenshot to look at. */
import { mkdirSync } from 'node:fs';
import type { Browser, BrowserContext, Page } from 'playwright-core';
import { afterAll, beforeAll, expect, inject, test } from 'vitest';
import { broken } from './axe.ts';
import { adminPassword, base, launch, onPage, open, signedIn } from './browser.ts';
import { PAGES } from './pages.ts';

const folder = process.env.SIGNALBOX_SHOTS;
const only = process.env.SIGNALBOX_PAGES?.split(',');
const WIDTHS = [
  [1440, 900],
  [1024, 768],
  [390, 844],
] as const;

let browser: Browser;
let admin: BrowserContext;

beforeAll(async () => {
  browser = await launch();
  admin = await signedIn(browser, 'admin', adminPassword());
  if (folder) mkdirSync(folder, { recursive: true });
});
afterAll(() => browser?.close());

const tooWide = (page: Page) =>
  page.evaluate(() => document.documentElement.scrollWidth - document.documentElement.clientWidth);

/** Tables that scroll by themselves, with how much of them is out of sight. */
const hidden = (page: Page) =>
  page.evaluate(() =>
    [...document.querySelectorAll('.table-scroll')]
      .filter((box) => box.scrollWidth > box.clientWidth + 1)
      .map((box) => `${box.getAttribute('aria-label')}: ${box.scrollWidth - box.clientWidth} px`),
  );

test.each(Object.keys(PAGES).filter((name) => !only || only.includes(name)))(
  '%s breaks no rule of WCAG 2.2 AA, fits 1440, 1024 and 390 px and raises nothing',
  (name) =>
    onPage(admin, async (page, problems) => {
      await page.emulateMedia({ colorScheme: 'light', reducedMotion: 'reduce' });
      await open(page, PAGES[name]!(inject('ids')));
      const found: string[] = [];
      for (const scheme of ['light', 'dark'] as const)
        for (const [width, height] of WIDTHS) {
          const where = `${scheme}, ${width} px`;
          await page.emulateMedia({ colorScheme: scheme });
          await page.setViewportSize({ width, height });
          await page.locator(`html[data-mantine-color-scheme="${scheme}"]`).waitFor();
          if (folder) await page.screenshot({ path: `${folder}/${name}-${width}-${scheme}.png`, fullPage: true });
          if ((await tooWide(page)) > 1) found.push(`${where}: ${await tooWide(page)} px too wide`);
          if (width > 600 && scheme === 'light') found.push(...(await hidden(page)).map((one) => `${where}: ${one}`));
          // at 1024 px the page is that of 1440, and in the dark that of the light in other colours
          if (scheme === 'light' && width !== 1024) found.push(...(await broken(page, where)));
          if (scheme === 'dark' && width === 1440) found.push(...(await broken(page, where, { colours: true })));
        }
      expect([...found, ...problems]).toEqual([]);
    }),
);

test.skipIf(only && !only.includes('signed-out'))(
  'the page of who is signed out breaks no rule of WCAG 2.2 AA and fits 1440 and 390 px',
  async () => {
    const visitor = await browser.newContext();
    await onPage(visitor, async (page, problems) => {
      await page.emulateMedia({ colorScheme: 'light', reducedMotion: 'reduce' });
      await page.goto(`${base}/console/`);
      await page.getByRole('button', { name: 'Sign in', exact: true }).waitFor();
      const found: string[] = [];
      for (const scheme of ['light', 'dark'] as const)
        for (const width of [1440, 390]) {
          const where = `${scheme}, ${width} px`;
          await page.emulateMedia({ colorScheme: scheme });
          await page.setViewportSize({ width, height: 844 });
          await page.locator(`html[data-mantine-color-scheme="${scheme}"]`).waitFor();
          if ((await tooWide(page)) > 1) found.push(`${where}: ${await tooWide(page)} px too wide`);
          found.push(...(await broken(page, where, { colours: scheme === 'dark' })));
        }
      expect([...found, ...problems]).toEqual([]);
    });
    await visitor.close();
  },
);
