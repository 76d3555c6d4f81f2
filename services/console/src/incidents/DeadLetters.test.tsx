import { screen } from '@testing-library/react';
import { http, HttpResponse } from 'msw';
import { expect, test } from 'vitest';
import { me, server } from '../testing/server';
import { show } from '../testing/show';
import { DeadLetters } from './DeadLetters';

const letter = (id: string, state: string) =>
  ({ id, state, parked_at: '2026-03-29T00:00:00Z', service: 'planner', topic: 't', partition: 0, offset: 1, error: 'x' }); // prettier-ignore
const letters = (state: string) =>
  http.get('*/api/v1/dead-letters', () =>
    HttpResponse.json({ items: [letter('d1', state), letter('d2', 'PARKED')], next_cursor: null }),
  );

test('what somebody else redrove meanwhile is not chosen any more', async () => {
  server.use(me(['dead_letter.operate']), letters('PARKED'));
  const { user, client } = show(<DeadLetters />);
  await user.click(await screen.findByLabelText('Choose d1'));
  await user.click(screen.getByLabelText('Choose d2'));
  expect(screen.getByRole('button', { name: 'Drop 2' })).toBeVisible();
  server.use(letters('REDRIVEN'));
  void client.invalidateQueries();
  expect(await screen.findByRole('button', { name: 'Drop 1' })).toBeVisible();
});
