import { fireEvent, screen, within } from '@testing-library/react';
import { http, HttpResponse } from 'msw';
import { expect, test } from 'vitest';
import type { Schemas } from '../api/client';
import { server } from '../testing/server';
import { show } from '../testing/show';
import { Backfill } from './Backfill';

const schedule = { id: 'nightly', name: 'Nightly' } as unknown as Schemas['Schedule'];

async function previewed() {
  const { user } = show(<Backfill schedule={schedule} />);
  await user.click(await screen.findByRole('button', { name: 'Backfill…' }));
  const dialog = await screen.findByRole('dialog');
  fireEvent.change(within(dialog).getByLabelText(/From/), { target: { value: '2026-03-01' } });
  fireEvent.change(within(dialog).getByLabelText(/Until/), { target: { value: '2026-03-07' } });
  await user.click(within(dialog).getByRole('button', { name: 'Preview' }));
  return { user, dialog };
}

test('the ticks of the last day belong to the range', async () => {
  const sent: unknown[] = [];
  server.use(
    http.post('*/api/v1/schedules/nightly/backfill', async ({ request }) => {
      sent.push(await request.json());
      return HttpResponse.json({ fires: 7, fired_before: 0, ticks: [] });
    }),
  );
  const { dialog } = await previewed();
  await within(dialog).findByRole('button', { name: 'Start 7' });
  expect(sent).toEqual([
    { from_at: '2026-03-01T00:00:00Z', until_at: '2026-03-07T23:59:59Z', only: 'missing', preview: true },
  ]);
});

test('a preview that gets no answer says so', async () => {
  server.use(http.post('*/api/v1/schedules/nightly/backfill', () => HttpResponse.error()));
  const { dialog } = await previewed();
  expect(await within(dialog).findByRole('alert')).toHaveTextContent('It may be restarting');
  expect(within(dialog).getByRole('button', { name: 'Preview' })).toBeEnabled();
});
