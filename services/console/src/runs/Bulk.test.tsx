import { screen, waitFor, within } from '@testing-library/react';
import { http, HttpResponse } from 'msw';
import { expect, test } from 'vitest';
import { me, problem, server } from '../testing/server';
import { show } from '../testing/show';
import { Gate } from '../session/Gate';
import { Bulk } from './Bulk';

const plans = Array.from({ length: 500 }, (_, at) => ({ id: `p${at}`, name: `run ${at}`, state: 'RUNNING' }));

/** The runs of the filter, page by page. */
const listed = (all = plans) =>
  http.get('*/api/v1/plans', ({ request }) => {
    const from = Number(new URL(request.url).searchParams.get('cursor') ?? 0);
    const next = from + 200;
    return HttpResponse.json({ items: all.slice(from, next), next_cursor: next < all.length ? String(next) : null });
  });

async function opened() {
  const { user } = show(<Bulk filters={{}} />);
  await user.click(await screen.findByRole('button', { name: 'Act on these…' }));
  return { user, dialog: await screen.findByRole('dialog') };
}

test('500 runs are one request; one that failed in the middle is named with why, and is tried again alone', async () => {
  const sent: { action: string; ids: string[] }[] = [];
  const answers: Record<string, number>[] = [
    { done: 249, failed: 1, pending: 250 },
    { done: 499, failed: 1 },
    { done: 1 },
  ];
  let counts: Record<string, number> = { pending: 500 };
  server.use(
    listed(),
    http.post('*/api/v1/plans/bulk', async ({ request }) => {
      const body = (await request.json()) as (typeof sent)[number];
      sent.push(body);
      const id = `b${sent.length}`;
      return HttpResponse.json({ id, total: body.ids.length, counts: { pending: body.ids.length } }, { status: 202 });
    }),
    http.get('*/api/v1/bulk-operations/:id', ({ params }) => {
      counts = answers.shift() ?? counts;
      return HttpResponse.json({ id: params['id'], total: params['id'] === 'b1' ? 500 : 1, counts });
    }),
    http.get('*/api/v1/bulk-operations/b1/items', () =>
      HttpResponse.json({
        items: [{ position: 250, target: 'plan:p250', name: 'run 250', state: 'failed', answer: 'it has ended' }],
        next_cursor: null,
      }),
    ),
  );
  const { user, dialog } = await opened();
  await user.click(within(dialog).getByRole('button', { name: 'Preview' }));
  await user.click(await within(dialog).findByRole('button', { name: 'Pause 500 runs' }));
  await within(dialog).findByText('Finished: 499 done, 0 refused, 1 failed.');
  expect(await within(dialog).findByRole('row', { name: /run 250/ })).toHaveTextContent('it has ended');
  await user.click(within(dialog).getByRole('button', { name: 'Try 1 run again' }));
  await within(dialog).findByText('Finished: 1 done, 0 refused, 0 failed.');
  expect(sent.map(({ action, ids }) => [action, ids.length])).toEqual([
    ['pause', 500],
    ['pause', 1],
  ]);
  expect(sent[1]!.ids).toEqual(['p250']);
});

test('closing it while it reads the runs requests nothing', async () => {
  let reads = 0;
  let answer: () => void = () => undefined;
  const waits = new Promise<void>((resolve) => (answer = resolve));
  server.use(
    http.get('*/api/v1/plans', async () => {
      reads++;
      await waits;
      return HttpResponse.json({ items: plans.slice(0, 1), next_cursor: 'next' });
    }),
  );
  const { user, dialog } = await opened();
  await user.click(within(dialog).getByRole('button', { name: 'Preview' }));
  await within(dialog).findByText(/0 runs so far/);
  await user.click(within(dialog).getByRole('button', { name: 'Close' }));
  await waitFor(() => expect(screen.queryByRole('dialog')).toBeNull());
  answer();
  await new Promise((resolve) => setTimeout(resolve, 200));
  expect(reads).toBe(1);
});

test('a filter of more runs than one request takes says so before anything is requested', async () => {
  server.use(listed(Array.from({ length: 10_001 }, (_, at) => ({ ...plans[0]!, id: `p${at}` }))));
  const { user, dialog } = await opened();
  await user.click(within(dialog).getByRole('button', { name: 'Preview' }));
  await within(dialog).findByText(/would touch 10,000 runs; the filter has more, and one request takes 10,000/);
});

test('a preview that failed once and then works shows no old error; one run is one run', async () => {
  server.use(http.get('*/api/v1/plans', () => problem(503, 'The database does not answer')));
  const { user, dialog } = await opened();
  await user.click(within(dialog).getByRole('button', { name: 'Preview' }));
  await within(dialog).findByText('The database does not answer');
  server.use(listed(plans.slice(0, 1)));
  await user.click(within(dialog).getByRole('button', { name: 'Preview' }));
  await within(dialog).findByRole('button', { name: 'Pause 1 run' });
  expect(within(dialog).queryByText('The database does not answer')).toBeNull();
});

test('who may not start runs is not offered to retry them', async () => {
  server.use(me(['plan.control']));
  const { user } = show(
    <Gate>
      <Bulk filters={{}} />
    </Gate>,
  );
  await user.click(await screen.findByRole('button', { name: 'Act on these…' }));
  await screen.findByLabelText('Cancel');
  expect(screen.queryByLabelText('Retry failures')).toBeNull();
});
