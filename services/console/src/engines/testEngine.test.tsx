import { screen } from '@testing-library/react';
import { http, HttpResponse } from 'msw';
import { expect, test } from 'vitest';
import { server } from '../testing/server';
import { show } from '../testing/show';
import { Ask } from '../ui/Ask';
import { testEngine } from './testEngine';

test('a test that gets no answer says so, and can be tried again', async () => {
  server.use(http.post('*/api/v1/engines/local/test', () => HttpResponse.error()));
  const { user } = show(<Ask label="Test" run={(reason) => testEngine('local', reason)} />);
  await user.click(await screen.findByRole('button', { name: 'Test' }));
  const start = (await screen.findAllByRole('button', { name: 'Test' })).at(-1)!;
  await user.click(start);
  expect(await screen.findByText('The server does not answer')).toBeVisible();
  expect(start).toBeEnabled();
});

test('the answer of the engine is shown', async () => {
  server.use(
    http.post('*/api/v1/engines/local/test', () => HttpResponse.json({ id: 'o1' }, { status: 202 })),
    http.get('*/api/v1/operations/o1', () => HttpResponse.json({ state: 'failed', answer: 'connection refused' })),
  );
  const { user } = show(<Ask label="Test" run={(reason) => testEngine('local', reason)} />);
  await user.click(await screen.findByRole('button', { name: 'Test' }));
  await user.click((await screen.findAllByRole('button', { name: 'Test' })).at(-1)!);
  expect(await screen.findByText('connection refused')).toBeVisible();
});
