import { screen } from '@testing-library/react';
import { http as answer, HttpResponse } from 'msw';
import { expect, test } from 'vitest';
import { http } from '../api/client';
import { server } from '../testing/server';
import { show } from '../testing/show';
import { useAction } from './useAction';

function Snooze() {
  const { act } = useAction();
  const body = { until_at: '2026-03-30T08:00:00Z' };
  return (
    <button
      onClick={() =>
        void act('Snoozed', () => http.POST('/api/v1/incidents/{id}/snooze', { params: { path: { id: 'i1' } }, body }))
      }
    >
      Snooze
    </button>
  );
}

function Redrive() {
  const { act } = useAction();
  return (
    <button
      onClick={() =>
        void act('Redrive requested', () => http.POST('/api/v1/dead-letters/redrive', { body: { ids: [] } }))
      }
    >
      Redrive
    </button>
  );
}

const refused = (id: string, reason: string) =>
  answer.get(`*/api/v1/operations/${id}`, () => HttpResponse.json({ state: 'refused', answer: reason }));

test('a later refusal of an incident is shown: its answer is the operation itself', async () => {
  server.use(
    answer.post('*/api/v1/incidents/i1/snooze', () =>
      HttpResponse.json(
        { id: 'o1', operation: 'incident.snooze', state: 'pending', target: 'incident:i1' },
        { status: 202 },
      ),
    ),
    refused('o1', 'it recovered meanwhile'),
  );
  const { user } = show(<Snooze />);
  await user.click(await screen.findByRole('button', { name: 'Snooze' }));
  expect(await screen.findByText('it recovered meanwhile')).toBeVisible();
});

test('refusals of dead letters by each service are shown', async () => {
  const operations = [
    { operation_id: 'o1', service: 'planner', ids: [] },
    { operation_id: 'o2', service: 'executor', ids: [] },
  ];
  server.use(
    answer.post('*/api/v1/dead-letters/redrive', () => HttpResponse.json({ operations }, { status: 202 })),
    refused('o1', 'planner has none'),
    refused('o2', 'executor has none'),
  );
  const { user } = show(<Redrive />);
  await user.click(await screen.findByRole('button', { name: 'Redrive' }));
  expect(await screen.findByText('planner has none')).toBeVisible();
  expect(await screen.findByText('executor has none')).toBeVisible();
});

test('a refusal after the first wait is shown as well', async () => {
  let requests = 0;
  server.use(
    answer.post('*/api/v1/incidents/i1/snooze', () => HttpResponse.json({ operation_id: 'o1' }, { status: 202 })),
    answer.get('*/api/v1/operations/o1', () =>
      HttpResponse.json(++requests < 3 ? { state: 'pending', answer: '' } : { state: 'refused', answer: 'at last' }),
    ),
  );
  const { user } = show(<Snooze />);
  await user.click(await screen.findByRole('button', { name: 'Snooze' }));
  expect(await screen.findByText('at last')).toBeVisible();
});
