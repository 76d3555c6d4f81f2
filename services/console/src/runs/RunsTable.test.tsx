import { act, fireEvent, screen } from '@testing-library/react';
import { useState } from 'react';
import { expect, test } from 'vitest';
import type { Schemas } from '../api/client';
import { show } from '../testing/show';
import { useSteadyRows } from '../ui/useSteadyRows';
import { RunsTable } from './RunsTable';

const plan = (id: string, state: string) =>
  ({ id, name: id, state, counts: { total: 1 }, waiting: [], actor: 'user:ann', created_at: '2026-03-29T00:00:00Z' }) as unknown as Schemas['Plan']; // prettier-ignore

let arrive: (rows: Schemas['Plan'][]) => void;

function Live() {
  const [fresh, setFresh] = useState([plan('one', 'RUNNING')]);
  arrive = setFresh;
  const { rows, waiting, setHeld, show: showNew } = useSteadyRows(fresh, (one) => one.id, '');
  return (
    <>
      {waiting > 0 && <button onClick={showNew}>{waiting} new</button>}
      <RunsTable rows={rows} label="Runs" onPointer={setHeld} />
    </>
  );
}

const names = () => screen.getAllByRole('link').map((link) => link.textContent);

test('rows do not move under the pointer: they change in place, and new ones wait until it leaves', async () => {
  show(<Live />);
  const table = await screen.findByRole('table');
  fireEvent.pointerEnter(table);
  act(() => arrive([plan('two', 'RUNNING'), plan('one', 'SUCCEEDED')]));
  expect(names()).toEqual(['one']);
  expect(screen.getByRole('row', { name: /one/ })).toHaveTextContent('succeeded');
  expect(screen.getByRole('button', { name: '1 new' })).toBeVisible();
  fireEvent.pointerLeave(table);
  expect(names()).toEqual(['two', 'one']);
});

test('the count of new rows brings them in', async () => {
  const { user } = show(<Live />);
  fireEvent.pointerEnter(await screen.findByRole('table'));
  act(() => arrive([plan('two', 'RUNNING'), plan('one', 'RUNNING')]));
  await user.click(screen.getByRole('button', { name: '1 new' }));
  expect(names()).toEqual(['two', 'one']);
});
