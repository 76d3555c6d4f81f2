import { screen, waitFor, within } from '@testing-library/react';
import { http, HttpResponse } from 'msw';
import { expect, test } from 'vitest';
import { problem, server } from '../testing/server';
import { show } from '../testing/show';
import { Bulk } from './Bulk';

const plans = ['p1', 'p2', 'p3'].map((id) => ({ id, name: id, state: 'RUNNING' }));

async function opened() {
  const { user } = show(<Bulk filters={{}} />);
  await user.click(await screen.findByRole('button', { name: 'Act on these…' }));
  return { user, dialog: await screen.findByRole('dialog') };
}

test('closing it while it works stops it: what was not begun is not done', async () => {
  const done: string[] = [];
  let answer: () => void = () => undefined;
  const waits = new Promise<void>((resolve) => (answer = resolve));
  server.use(
    http.get('*/api/v1/plans', () => HttpResponse.json({ items: plans, next_cursor: null })),
    http.post('*/api/v1/plans/:id/pause', async ({ params }) => {
      done.push(String(params['id']));
      await waits;
      return HttpResponse.json({}, { status: 202 });
    }),
  );
  const { user, dialog } = await opened();
  await user.click(within(dialog).getByRole('button', { name: 'Preview' }));
  await user.click(await within(dialog).findByRole('button', { name: 'Pause 3 runs' }));
  await user.click(await within(dialog).findByRole('button', { name: 'Stop' }));
  await waitFor(() => expect(screen.queryByRole('dialog')).toBeNull());
  answer();
  await new Promise((resolve) => setTimeout(resolve, 200));
  expect(done).toEqual(['p1']);
});

test('a preview that failed once and then works shows no old error; one run is one run', async () => {
  server.use(http.get('*/api/v1/plans', () => problem(503, 'The database does not answer')));
  const { user, dialog } = await opened();
  await user.click(within(dialog).getByRole('button', { name: 'Preview' }));
  await within(dialog).findByText('The database does not answer');
  server.use(http.get('*/api/v1/plans', () => HttpResponse.json({ items: plans.slice(0, 1), next_cursor: null })));
  await user.click(within(dialog).getByRole('button', { name: 'Preview' }));
  await within(dialog).findByRole('button', { name: 'Pause 1 run' });
  expect(within(dialog).queryByText('The database does not answer')).toBeNull();
});
