import { screen } from '@testing-library/react';
import { http, HttpResponse } from 'msw';
import { expect, test } from 'vitest';
import { $api } from '../api/client';
import { problem, server } from '../testing/server';
import { show } from '../testing/show';
import { Empty } from './Answer';
import { ListPart } from './ListPart';

function Secrets() {
  const query = $api.useQuery('get', '/api/v1/secrets');
  return (
    <ListPart
      query={query}
      label="Secrets"
      idOf={(one) => one.name}
      columns={[{ header: 'Name', accessorKey: 'name' }]}
      empty={<Empty title="No secret yet">Set one first.</Empty>}
    />
  );
}
const answer = (...names: string[]) =>
  http.get('*/api/v1/secrets', () => HttpResponse.json({ items: names.map((name) => ({ name })), next_cursor: null }));

test('while it loads it says so; an empty list says what to do first', async () => {
  server.use(answer());
  show(<Secrets />);
  expect(await screen.findByRole('status', { name: 'Loading' })).toHaveAttribute('aria-busy', 'true');
  expect(await screen.findByRole('heading', { name: 'No secret yet' })).toBeVisible();
  expect(screen.getByText('Set one first.')).toBeVisible();
});

test('a failure says what and where to look, and is tried again', async () => {
  server.use(http.get('*/api/v1/secrets', () => problem(503, 'The database does not answer', 'since a minute')));
  const { user } = show(<Secrets />);
  const alert = await screen.findByRole('alert');
  expect(alert).toHaveTextContent('The database does not answersince a minutetrace abc');
  server.use(answer('warehouse'));
  await user.click(screen.getByRole('button', { name: 'Try again' }));
  expect(await screen.findByRole('cell', { name: 'warehouse' })).toBeVisible();
});

test('when the server goes away the old rows stay, with their age', async () => {
  server.use(answer('warehouse'));
  const { client } = show(<Secrets />);
  await screen.findByRole('cell', { name: 'warehouse' });
  server.use(http.get('*/api/v1/secrets', () => HttpResponse.error()));
  void client.invalidateQueries();
  expect(await screen.findByText(/Shown as it was \d+ s ago: the server does not answer/)).toBeVisible();
  expect(screen.getByRole('cell', { name: 'warehouse' })).toBeVisible();
});

test('what is not there is said once: trying again would not help', async () => {
  server.use(http.get('*/api/v1/secrets', () => problem(404, 'There is no such thing')));
  show(<Secrets />);
  await screen.findByRole('alert');
  expect(screen.queryByRole('button', { name: 'Try again' })).toBeNull();
});
