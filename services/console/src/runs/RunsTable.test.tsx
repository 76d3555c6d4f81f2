import { act, fireEvent, screen } from '@testing-library/react';
import { useState } from 'react';
import { expect, test, vi } from 'vitest';
import type { Schemas } from '../api/client';
import { show } from '../testing/show';
import { LET_GO_MS } from '../ui/useSteadyRows';
import { RunsTable } from './RunsTable';

const plan = (id: string, state: string) =>
  ({ id, name: id, state, counts: { total: 1 }, waiting: [], actor: 'user:ann', created_at: '2026-03-29T00:00:00Z' }) as unknown as Schemas['Plan']; // prettier-ignore

let arrive: (rows: Schemas['Plan'][]) => void;

function Live() {
  const [fresh, setFresh] = useState([plan('one', 'RUNNING')]);
  arrive = setFresh;
  return <RunsTable rows={fresh} label="Runs" />;
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

test('a click or a key lets them go: what it changed is shown at once', async () => {
  show(<Live />);
  const table = await screen.findByRole('table');
  for (const release of [() => fireEvent.click(table), () => fireEvent.keyDown(window, { key: 'j' })]) {
    act(() => arrive([plan('one', 'RUNNING')]));
    fireEvent.pointerLeave(table);
    fireEvent.pointerEnter(table);
    act(() => arrive([]));
    expect(names()).toEqual(['one']);
    release();
    expect(screen.queryByRole('link')).toBeNull();
  }
});

test('a while after a click the pointer that moves on holds them again, without leaving the table', async () => {
  show(<Live />);
  const table = await screen.findByRole('table');
  fireEvent.pointerEnter(table);
  fireEvent.click(table);
  fireEvent.pointerMove(table);
  act(() => arrive([plan('two', 'RUNNING'), plan('one', 'RUNNING')]));
  expect(names()).toEqual(['two', 'one']);
  const later = Date.now() + LET_GO_MS + 1;
  vi.spyOn(Date, 'now').mockReturnValue(later);
  fireEvent.pointerMove(table);
  act(() => arrive([plan('three', 'RUNNING'), plan('two', 'RUNNING'), plan('one', 'RUNNING')]));
  vi.restoreAllMocks();
  expect(names()).toEqual(['two', 'one']);
  expect(screen.getByRole('button', { name: '1 new' })).toBeVisible();
});
