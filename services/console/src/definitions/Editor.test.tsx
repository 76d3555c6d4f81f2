import { fireEvent, screen, waitFor, within } from '@testing-library/react';
import { http, HttpResponse } from 'msw';
import { expect, test } from 'vitest';
import { problem, server } from '../testing/server';
import { show } from '../testing/show';
import { EditDefinition } from './Editor';

const job = (part: object) => ({ id: 'load', name: 'Load', description: '', engine: 'local', version: 1, ...part });

/** A job that somebody else changes after it was first read. */
function changedMeanwhile(theirs: object) {
  let version = 1;
  const saved: unknown[] = [];
  const answer = () => (version === 1 ? job({}) : job(theirs));
  server.use(
    http.get('*/api/v1/jobs/load', () => HttpResponse.json(answer(), { headers: { ETag: `"${version}"` } })),
    http.put('*/api/v1/jobs/load', async ({ request }) => {
      if (request.headers.get('If-Match') !== '"2"') {
        version = 2;
        return problem(412, 'Somebody else changed it');
      }
      saved.push(await request.json());
      return HttpResponse.json(answer());
    }),
  );
  return saved;
}

async function edited(from: string, to: string) {
  const { user } = show(<EditDefinition kind="job" id="load" />);
  await user.click(await screen.findByRole('button', { name: 'Edit' }));
  const text = await screen.findByLabelText<HTMLTextAreaElement>('Definition');
  fireEvent.change(text, { target: { value: text.value.replace(from, to) } });
  await user.click(screen.getByRole('button', { name: 'Save' }));
  const table = await screen.findByRole('region', { name: 'What both changed' });
  return { user, text, table };
}

test('saved meanwhile by another: a table says who changed what, and both changes are kept', async () => {
  const saved = changedMeanwhile({ description: 'by another' });
  const { user, text, table } = await edited('"Load"', '"Load all"');
  expect(within(table).getByRole('row', { name: /description the other/ })).toHaveTextContent('by another');
  expect(within(table).getByRole('row', { name: /name you Load Load all/ })).toBeVisible();
  expect(text.value).toContain('Load all');
  expect(screen.getByRole('button', { name: 'Save' })).toBeDisabled();
  await user.click(screen.getByRole('button', { name: 'My changes on top of theirs' }));
  await user.click(screen.getByRole('button', { name: 'Save' }));
  await waitFor(() => expect(saved).toHaveLength(1));
  expect(saved[0]).toMatchObject({ name: 'Load all', description: 'by another' });
});

test('where both changed the same it is said, and theirs can be taken', async () => {
  changedMeanwhile({ name: 'Load some' });
  const { user, text, table } = await edited('"Load"', '"Load all"');
  expect(within(table).getByRole('row', { name: /both of you/ })).toHaveTextContent('Load some');
  await user.click(screen.getByRole('button', { name: 'Take theirs, drop mine' }));
  expect(text.value).toContain('Load some');
});

test('text that is no JSON cannot be saved, and stays when the form is closed', async () => {
  server.use(http.get('*/api/v1/jobs/load', () => HttpResponse.json(job({}), { headers: { ETag: '"1"' } })));
  const { user } = show(<EditDefinition kind="job" id="load" />);
  await user.click(await screen.findByRole('button', { name: 'Edit' }));
  fireEvent.change(await screen.findByLabelText('Definition'), { target: { value: '{"id": "lo' } });
  expect(screen.getByRole('button', { name: 'Save' })).toBeDisabled();
  await user.keyboard('{Escape}');
  await user.click(screen.getByRole('button', { name: 'Edit' }));
  expect(await screen.findByLabelText('Definition')).toHaveValue('{"id": "lo');
});
