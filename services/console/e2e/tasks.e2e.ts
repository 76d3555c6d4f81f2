/** What people do most, with the number of clicks it takes from the overview; three of these by keyboard alone. */
import type { Browser, BrowserContext, Locator, Page } from 'playwright-core';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { adminPassword, launch, onPage, open, signedIn } from './browser.ts';
import { bodyOf, FIRST, wrongWith } from '../src/oozie/rerun.ts';
import { COORDINATOR, OTHER_COORDINATOR, startOozie, type Oozie } from './oozieAnswers.ts';
import { api } from './seed.ts';

let browser: Browser;
let admin: BrowserContext;
let oozie: Oozie;

beforeAll(async () => {
  oozie = await startOozie();
  const engine = {
    id: 'oozie',
    name: 'Oozie',
    connection: { kind: 'oozie', url: oozie.url },
    limits: { concurrency: 4 },
  };
  const answer = await api('POST', '/engines', engine);
  if (answer.status === 409) await api('PUT', '/engines/oozie', engine);
  browser = await launch();
  admin = await signedIn(browser, 'admin', adminPassword());
  await admin.addInitScript(() =>
    addEventListener(
      'pointerdown',
      () => sessionStorage.setItem('clicks', String(1 + Number(sessionStorage.getItem('clicks') ?? 0))),
      true,
    ),
  );
});
afterAll(async () => {
  await browser?.close();
  oozie?.close();
});

const clicks = (page: Page) => page.evaluate(() => Number(sessionStorage.getItem('clicks') ?? 0));
const button = (scope: Page | Locator, name: string | RegExp) => scope.getByRole('button', { name, exact: true });
const link = (scope: Page | Locator, name: string) => scope.getByRole('link', { name, exact: true }).first();
const dialog = (page: Page) => page.getByRole('dialog');
const part = (page: Page, name: string) => page.getByRole('region', { name }).first();

/** Do a task from the overview, and say how many clicks it took. */
const from = (run: (page: Page) => Promise<void>) => async () => {
  let taken = -1;
  await onPage(admin, async (page) => {
    await open(page, '/');
    await run(page);
    taken = await clicks(page);
  });
  return taken;
};

async function limited(name: string): Promise<void> {
  const item = (at: number) => ({ key: `k${at}`, engine: 'scripted', work: { kind: 'scripted', script: { run_seconds: 300 } } });
  await api('POST', '/plans', { name, rules: { limit: 1 }, items: [0, 1, 2].map(item) });
} // prettier-ignore

describe('clicks', () => {
  test('find why a run waits and free it: 4', async () => {
    await limited('Waits for a slot');
    const taken = await from(async (page) => {
      await link(part(page, 'Running and waiting'), 'Waits for a slot').click();
      await page.getByText(/1 of 1 slots/).waitFor();
      await page.getByRole('tab', { name: 'Rules' }).click();
      await page.getByLabel('At once').click();
      await page.keyboard.press('ControlOrMeta+a');
      await page.keyboard.type('3');
      await button(page, 'Change now').click();
      await page.getByText('3 active').waitFor();
    })();
    expect(taken).toBe(4);
  });

  test('rerun the failures of one coordinator, seeing each decision before: 5', async () => {
    oozie.actions[1]!.status = 'KILLED';
    const taken = await from(async (page) => {
      await link(page, 'Rerun Oozie').click();
      await page.getByLabel('Coordinators and bundles').first().click();
      await page.keyboard.type(`${COORDINATOR},`);
      await button(page, 'Preview').click();
      await page.getByText('Preview: nothing has started').waitFor();
      const items = page.getByRole('region', { name: 'Items' });
      await items.getByText(`${COORDINATOR}@2`).waitFor();
      expect(await items.locator('.item-row', { hasText: '@2' }).getByText('run', { exact: true }).count()).toBe(1);
      expect(await items.locator('.item-row', { hasText: '@1' }).getByText('skip', { exact: true }).count()).toBe(1);
      expect(await items.locator('.item-row', { hasText: '@1' }).innerText()).toMatch(/SUCCEEDED/i);
      await button(page, 'Apply').click();
      await button(dialog(page), 'Apply').click();
      await page.getByRole('heading', { level: 1 }).locator('xpath=..').getByText('succeeded').waitFor();
    })();
    expect(taken).toBe(5);
    expect(
      oozie.actions.filter((one) => one.coordinator === COORDINATOR && one.before.length).map((one) => one.number),
    ).toEqual([2, 4, 5]);
  });

  test('follow a failed task to the line with its error: 3', async () => {
    const taken = await from(async (page) => {
      await link(part(page, 'Failed'), 'Billing export').click();
      await link(page, 'upload').click();
      await page.getByLabel('Find in the log').waitFor();
      await page.keyboard.press('/');
      await page.keyboard.type('ERROR');
      await button(page, 'Find next').click();
      await page.locator('.log-line.found', { hasText: 'connection refused: db-7.example:5432' }).waitFor();
    })();
    expect(taken).toBe(3);
  });

  test('snooze an incident until Monday: 3', async () => {
    await api('POST', '/pipelines/billing/run', { reason: 'for the incident' });
    const taken = await from(async (page) => {
      const tile = page.getByRole('link', { name: /open incidents/ });
      await tile.getByText(/[1-9]/).waitFor({ timeout: 60_000 });
      await tile.click();
      await page.getByRole('button', { name: /^Snooze/ }).first().click();
      await page.getByRole('menuitem', { name: /Monday/ }).click();
      await page.getByText(/Snoozed until Monday/).waitFor();
    })(); // prettier-ignore
    expect(taken).toBe(3);
  });

  test('retry what failed of a run: 3', async () => {
    const taken = await from(async (page) => {
      await link(part(page, 'Failed'), 'Reload of March').click();
      await button(page, 'Retry failures').click();
      await button(dialog(page), 'Retry failures').click();
      await page.getByText(/child of/).waitFor();
    })();
    expect(taken).toBe(3);
  });

  test('rerun a pipeline from one step: 5', async () => {
    const taken = await from(async (page) => {
      await link(part(page, 'Failed'), 'Billing export').click();
      await button(page, 'Rerun steps').click();
      await dialog(page).locator('.mantine-MultiSelect-input').click();
      await page.getByRole('option', { name: 'upload' }).click();
      await page.keyboard.press('Tab'); // closes the list
      await button(dialog(page), 'Rerun steps').click();
      await page.getByText(/child of/).waitFor();
    })();
    expect(taken).toBe(5);
  });

  test('run a pipeline with a parameter: 5', async () => {
    const taken = await from(async (page) => {
      await link(page, 'Pipelines').click();
      await button(page, 'Run Daily recommendations').click();
      await dialog(page).getByLabel('mode').click();
      await page.getByRole('option', { name: 'initial_load' }).click();
      await button(dialog(page), 'Run').click();
      await page.getByText('pipeline:daily').first().waitFor();
    })();
    expect(taken).toBe(5);
  });

  test('cancel all runs of a name, seeing them before: 5', async () => {
    await limited('Cancelled together');
    await limited('Cancelled together');
    const taken = await from(async (page) => {
      await link(page, 'Runs').click();
      await page.getByLabel('Name').waitFor();
      await page.keyboard.press('/');
      await page.keyboard.type('Cancelled together');
      await page.waitForURL(/q=Cancelled/);
      await button(page, 'Act on these…').click();
      await dialog(page).getByLabel('Cancel', { exact: true }).click();
      await button(dialog(page), 'Preview').click();
      await page.getByText(/would touch [2-9]/).waitFor();
      await button(dialog(page), /^Cancel \d+ runs$/).click();
      await dialog(page)
        .getByText(/^Finished: [2-9] done, 0 refused, 0 failed/)
        .waitFor();
    })();
    expect(taken).toBe(5);
  });

  test('drain an engine for maintenance, and let it go on: 5', async () => {
    const taken = await from(async (page) => {
      await link(part(page, 'Engines'), 'checks').click();
      await button(page, 'Drain').click();
      await button(dialog(page), 'Drain').click();
      await button(page, 'Resume').click();
      await button(dialog(page), 'Resume').click();
      await button(page, 'Drain').waitFor();
    })();
    expect(taken).toBe(5);
  });

  test('backfill a schedule, seeing which ticks fire before: 5', async () => {
    const taken = await from(async (page) => {
      await link(page, 'Schedules').click();
      await link(page, 'Nightly').click();
      await button(page, 'Backfill…').click();
      await page.getByLabel('From (UTC)').fill('2026-03-01');
      await page.getByLabel('Until (UTC)').fill('2026-03-04');
      await button(dialog(page), 'Preview').click();
      await page.getByText(/\d+ would fire/).waitFor();
      await button(dialog(page), 'Close').waitFor();
      await dialog(page).getByRole('button', { name: /^Start \d+/ }).waitFor();
      await button(dialog(page), 'Close').click();
    })(); // prettier-ignore
    expect(taken).toBe(5);
  });

  test('freeze one engine for as long as it takes: 5', async () => {
    const taken = await from(async (page) => {
      await link(page, 'Freezes').click();
      await button(page, 'Freeze…').click();
      await dialog(page).getByLabel('Reason').waitFor();
      await page.waitForFunction(() => document.activeElement?.matches('[role="dialog"] input'));
      await page.keyboard.type('Storage is being moved');
      await dialog(page).locator('.mantine-MultiSelect-input').click();
      await page.getByRole('option', { name: 'checks' }).click();
      await page.keyboard.press('Tab'); // closes the list
      await dialog(page).getByRole('button', { name: 'Freeze', exact: true }).click();
      await page.getByText(/Storage is being moved/).first().waitFor();
    })(); // prettier-ignore
    expect(taken).toBe(5);
    for (const one of (await api('GET', '/freezes')).body.items)
      if (one.reason === 'Storage is being moved') await api('DELETE', `/freezes/${one.id}`);
  });
});

/** Press Tab until it has the focus, as somebody without a pointer does. */
async function tabTo(page: Page, target: Locator, presses = 80): Promise<void> {
  await target.waitFor();
  for (let at = 0; at < presses; at++) {
    if (await target.evaluate((one) => one === document.activeElement)) return;
    await page.keyboard.press('Tab');
  }
  throw new Error(`Tab does not reach ${target}`);
}

describe('by keyboard alone', () => {
  const keys = (run: (page: Page) => Promise<void>) => async () => expect(await from(run)()).toBe(0);

  test(
    'to the line with the error',
    keys(async (page) => {
      await page.keyboard.press('g');
      await page.keyboard.press('r');
      await page.getByLabel('Name').waitFor();
      await page.keyboard.press('/');
      await page.keyboard.type('Billing');
      await page.waitForURL(/q=Billing/);
      await tabTo(page, link(page, 'Billing export'));
      await page.keyboard.press('Enter');
      await tabTo(page, link(page, 'upload'));
      await page.keyboard.press('Enter');
      await page.getByLabel('Find in the log').waitFor();
      await page.keyboard.press('/');
      await page.keyboard.type('ERROR');
      await page.getByRole('status').getByText(/[1-9]\d* lines/).first().waitFor();
      await page.keyboard.press('Enter');
      await page.locator('.log-line.found').first().waitFor();
    }), // prettier-ignore
  );

  test(
    'to the rules of a run that waits, and more at once',
    keys(async (page) => {
      await limited('Freed by keys');
      await page.keyboard.press('Control+k');
      await page.getByPlaceholder('Where to?').waitFor();
      await page.keyboard.type('Runs');
      await page.keyboard.press('Enter');
      await tabTo(page, link(page, 'Freed by keys'));
      await page.keyboard.press('Enter');
      await tabTo(page, page.getByRole('tab', { name: 'Items' }));
      for (let at = 0; at < 3; at++) await page.keyboard.press('ArrowRight');
      await tabTo(page, page.getByLabel('At once'));
      await page.keyboard.press('ControlOrMeta+a');
      await page.keyboard.type('3');
      await page.keyboard.press('Enter');
      await page.getByText('3 active').waitFor();
    }),
  );

  test(
    'a pipeline is run',
    keys(async (page) => {
      await page.keyboard.press('g');
      await page.keyboard.press('p');
      await tabTo(page, button(page, 'Run Daily recommendations'));
      await page.keyboard.press('Enter');
      await tabTo(page, page.getByLabel('Reason'));
      await page.keyboard.type('by keys');
      await page.keyboard.press('Enter');
      await page.getByText('pipeline:daily').first().waitFor();
    }),
  );
});

test('a refused apply shows exactly what is different now, and nothing starts', () =>
  onPage(admin, async (page) => {
    const action = oozie.actions.find((one) => one.coordinator === OTHER_COORDINATOR && one.number === 4)!;
    action.status = 'FAILED';
    const answer = await api('POST', '/plans', {
      name: 'Refused rerun', preview: true,
      selections: [{ engine: 'oozie', selection: { kind: 'oozie_actions', coordinators: [OTHER_COORDINATOR], rerun: { policy: 'failed' } } }],
    }); // prettier-ignore
    await open(page, `/runs/${answer.body.id}`);
    await page.getByText('Preview: nothing has started').waitFor();
    action.status = 'SUCCEEDED';
    action.modified = new Date();
    await button(page, 'Apply').click();
    await button(dialog(page), 'Apply').click();
    const row = page.getByRole('region', { name: 'Differences' }).getByRole('row', { name: /@4/ });
    await row.waitFor();
    expect(await row.innerText()).toMatch(/changed[\s\S]*run[\s\S]*skip/);
    expect(action.before).toEqual([]);
  }));

test('a preview in which nothing would run says so, and cannot be applied', () =>
  onPage(admin, async (page) => {
    const answer = await api('POST', '/plans', {
      name: 'Nothing to rerun', preview: true,
      selections: [{ engine: 'oozie', selection: { kind: 'oozie_actions', coordinators: [OTHER_COORDINATOR], numbers: [[1, 1]], rerun: { policy: 'failed' } } }],
    }); // prettier-ignore
    await open(page, `/runs/${answer.body.id}`);
    await page.getByText('Nothing would run').waitFor();
    await button(page, 'Reject').waitFor();
    expect(await button(page, 'Apply').count()).toBe(0);
  }));

test('what the server takes and then refuses is said on the page', () =>
  onPage(admin, async (page) => {
    const answer = await api('POST', '/plans', {
      name: 'Applied with another hash', preview: true,
      selections: [{ engine: 'oozie', selection: { kind: 'oozie_actions', coordinators: [OTHER_COORDINATOR], rerun: { policy: 'all' } } }],
    }); // prettier-ignore
    await page.route(/\/apply$/, (route) => {
      const body = route.request().postDataJSON() as { preview_hash: string };
      return route.continue({ postData: { ...body, preview_hash: '0'.repeat(64) } });
    });
    await open(page, `/runs/${answer.body.id}`);
    await button(page, 'Apply').click();
    await button(dialog(page), 'Apply').click();
    await page
      .getByRole('alert')
      .getByText(/is not that of this plan's preview/)
      .waitFor();
  }));

// the last: its previews of workflows that Oozie does not know fail, and would fill the overview
test('the API takes each scope of the form of Oozie reruns, for actions and for workflows', async () => {
  const answers: string[] = [];
  for (const kind of ['oozie_actions', 'oozie_workflows'] as const)
    for (const scope of ['all', 'skip_successful', 'only_failed', 'nodes'] as const)
      for (const cleanUp of [false, true]) {
        const draft = { ...FIRST, engine: 'oozie', kind, scope, cleanUp, refresh: true, nodes: ['load'], coordinators: [COORDINATOR], workflows: ['1-W'], properties: 'a=1' };
        expect(wrongWith(draft)).toEqual({});
        const { status } = await api('POST', '/plans', bodyOf(draft));
        if (status !== 202) answers.push(`${kind} ${scope} ${cleanUp}: ${status}`);
      }
  expect(answers).toEqual([]);
}); // prettier-ignore
