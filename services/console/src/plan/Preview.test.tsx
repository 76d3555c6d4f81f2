import { screen, waitFor, within } from '@testing-library/react';
import { http, HttpResponse } from 'msw';
import { expect, test } from 'vitest';
import type { Schemas } from '../api/client';
import { me, server } from '../testing/server';
import { show } from '../testing/show';
import { Preview } from './Preview';

const plan = (waiting: number) =>
  ({
    id: 'p1', name: 'Rerun', actor: 'user:ann', project: 'default', preview_hash: 'hash', preview_expires_at: null,
    counts: { total: 201, waiting },
  }) as unknown as Schemas['Plan']; // prettier-ignore

/** Two pages of items; only the last item of the second deletes something. */
const items = (deletes: string[]) =>
  http.get('*/api/v1/plans/p1/items', ({ request }) => {
    const second = new URL(request.url).searchParams.has('cursor');
    return HttpResponse.json({ items: [{ deletes: second ? deletes : [] }], next_cursor: second ? null : 'next' });
  });

test('what would be deleted is counted over all pages, and has to be confirmed', async () => {
  const sent: unknown[] = [];
  server.use(
    items(['/out/1: 3 files, 5 bytes']),
    http.post('*/api/v1/plans/p1/apply', async ({ request }) => {
      sent.push(await request.json());
      return HttpResponse.json({ operation_id: 'o1' }, { status: 202 });
    }),
    http.get('*/api/v1/operations/o1', () => HttpResponse.json({ state: 'refused', answer: 'the preview expired' })),
  );
  const { user } = show(<Preview plan={plan(201)} />);
  expect(await screen.findByText('/out/1: 3 files, 5 bytes')).toBeVisible();
  await user.click(await screen.findByRole('button', { name: 'Apply' }));
  const dialog = await screen.findByRole('dialog', { name: 'Start Rerun' });
  const apply = within(dialog).getByRole('button', { name: 'Apply' });
  expect(apply).toBeDisabled();
  await user.click(within(dialog).getByLabelText('Yes, delete 1 output'));
  await user.click(apply);
  expect(await screen.findByText('the preview expired')).toBeVisible();
  expect(sent).toEqual([{ preview_hash: 'hash', confirm_deletions: true, reason: '' }]);
});

test('without deletions nothing has to be confirmed', async () => {
  server.use(items([]));
  const { user } = show(<Preview plan={plan(2)} />);
  await user.click(await screen.findByRole('button', { name: 'Apply' }));
  const dialog = await screen.findByRole('dialog');
  expect(within(dialog).getByRole('button', { name: 'Apply' })).toBeEnabled();
  expect(within(dialog).queryByRole('checkbox')).toBeNull();
});

test('when nothing would run there is nothing to apply', async () => {
  server.use(items([]));
  show(<Preview plan={plan(0)} />);
  expect(await screen.findByText(/Nothing would run/)).toBeVisible();
  expect(await screen.findByRole('button', { name: 'Reject' })).toBeVisible();
  expect(screen.queryByRole('button', { name: 'Apply' })).toBeNull();
});

test('who may not apply is not offered it', async () => {
  server.use(items([]), me(['plan.read']));
  show(<Preview plan={plan(2)} />);
  await screen.findByText(/2 of 201 items would run/);
  await waitFor(() => expect(screen.queryByRole('status', { name: 'Loading' })).toBeNull());
  expect(screen.queryByRole('button')).toBeNull();
});
