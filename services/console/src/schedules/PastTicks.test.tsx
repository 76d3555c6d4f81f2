import { screen } from '@testing-library/react';
import { expect, test } from 'vitest';
import type { Schemas } from '../api/client';
import { show } from '../testing/show';
import { Ticks } from './PastTicks';

const tick = (at: number) =>
  ({ tick_id: `t${at}`, due_at: '2026-03-29T00:00:00Z', outcome: 'FIRED', plan_id: null, detail: `tick ${at}` }) as unknown as Schemas['TickAnswer']; // prettier-ignore

test('a day with many ticks shows their number, and all of them on request', async () => {
  const { user } = show(<Ticks rows={Array.from({ length: 60 }, (_, at) => tick(at))} />);
  const all = await screen.findByRole('button', { name: 'Show all 60' });
  expect(screen.getAllByRole('row')).toHaveLength(51);
  await user.click(all);
  expect(screen.getAllByRole('row')).toHaveLength(61);
});

test('a day without ticks says so', async () => {
  show(<Ticks rows={[]} />);
  expect(await screen.findByText('No tick of this day')).toBeVisible();
});
