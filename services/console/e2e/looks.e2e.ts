/** Every page in both schemes and three widths: rules of WCAG 2.2 AA, nothing past the edge, and a screenshot to look at. */
import AxeBuilder from '@axe-core/playwright';
import { mkdirSync } from 'node:fs';
import type { Browser, BrowserContext } from 'playwright-core';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { adminPassword, launch, onPage, open, signedIn } from './browser.ts';
import { PAGES, seeded, type Ids } from './pages.ts';

const folder = process.env.SIGNALBOX_SHOTS;
const only = process.env.SIGNALBOX_PAGES?.split(',');
const WIDTHS = [
  [1440, 900],
  [1024, 768],
  [390, 844],
] as const;
const RULES = ['wcag2a', 'wcag2aa', 'wcag21a', 'wcag21aa', 'wcag22aa'];

let browser: Browser;
let admin: BrowserContext;
let ids: Ids;

beforeAll(async () => {
  ids = await seeded();
  browser = await launch();
  admin = await signedIn(browser, 'admin', adminPassword());
  if (folder) mkdirSync(folder, { recursive: true });
});
afterAll(() => browser?.close());

describe.each(['light', 'dark'] as const)('in %s colours', (colorScheme) => {
  test.each(Object.keys(PAGES).filter((name) => !only || only.includes(name)))(
    '%s breaks no rule of WCAG 2.2 AA, fits 1440, 1024 and 390 px and raises nothing',
    (name) =>
      onPage(admin, async (page, problems) => {
        await page.emulateMedia({ colorScheme, reducedMotion: 'reduce' });
        await open(page, PAGES[name]!(ids));
        const found: string[] = [];
        for (const [width, height] of WIDTHS) {
          await page.setViewportSize({ width, height });
          if (folder) await page.screenshot({ path: `${folder}/${name}-${width}-${colorScheme}.png`, fullPage: true });
          const over = await page.evaluate(
            () => document.documentElement.scrollWidth - document.documentElement.clientWidth,
          );
          if (over > 1) found.push(`at ${width} px it is ${over} px too wide`);
          const { violations } = await new AxeBuilder({ page }).withTags(RULES).analyze();
          for (const { id, nodes } of violations)
            found.push(`${width}: ${id}: ${nodes[0]?.html.slice(0, 200)} ${nodes[0]?.failureSummary?.slice(0, 200)}`);
        }
        expect([...found, ...problems]).toEqual([]);
      }),
  );
});
