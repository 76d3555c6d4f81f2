import { screen } from '@testing-library/react';
import { http, HttpResponse } from 'msw';
import { expect, test } from 'vitest';
import { server } from '../testing/server';
import { show } from '../testing/show';
import { Empty } from './Answer';
import { ListPart } from './ListPart';
import { useList } from './useList';

function Letters() {
  const query = useList('/api/v1/dead-letters', { limit: 100, state: ['PARKED'] });
  return (
    <ListPart
      query={query}
      label="Dead letters"
      idOf={(one) => one.id}
      columns={[{ header: 'Id', accessorKey: 'id' }]}
      empty={<Empty title="None">nothing to do</Empty>}
    />
  );
}

test('a list that goes on says so, and shows the rest, with the filter it began with', async () => {
  const requests: string[] = [];
  server.use(
    http.get('*/api/v1/dead-letters', ({ request }) => {
      requests.push(new URL(request.url).search);
      const second = request.url.includes('cursor=next');
      return HttpResponse.json({ items: [{ id: second ? 'last' : 'first' }], next_cursor: second ? null : 'next' });
    }),
  );
  const { user } = show(<Letters />);
  await screen.findByRole('cell', { name: 'first' });
  await user.click(screen.getByRole('button', { name: 'Show more' }));
  expect(await screen.findByRole('cell', { name: 'last' })).toBeVisible();
  expect(screen.getByRole('cell', { name: 'first' })).toBeVisible();
  expect(screen.queryByRole('button', { name: 'Show more' })).toBeNull();
  expect(requests).toEqual(['?limit=100&state=PARKED', '?limit=100&state=PARKED&cursor=next']);
});
