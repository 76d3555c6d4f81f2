/** Rules of WCAG 2.2 AA on what a page shows. */
import AxeBuilder from '@axe-core/playwright';
import type { Page } from 'playwright-core';

const RULES = ['wcag2a', 'wcag2aa', 'wcag21a', 'wcag21aa', 'wcag22aa'];

/** What breaks a rule, in words. `colours` looks at contrast alone: in the other scheme nothing else is different. */
export async function broken(page: Page, where: string, { within = 'body', colours = false } = {}): Promise<string[]> {
  const axe = new AxeBuilder({ page }).include(within).setLegacyMode(); // no frames here, so no second page is needed
  const { violations } = await (colours ? axe.withRules(['color-contrast']) : axe.withTags(RULES)).analyze();
  return violations.map(
    ({ id, nodes }) => `${where}: ${id}: ${nodes[0]?.html.slice(0, 200)} ${nodes[0]?.failureSummary?.slice(0, 200)}`,
  );
}
