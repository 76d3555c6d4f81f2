import { screen, waitFor } from '@testing-library/react';
import { http as answer, HttpResponse } from 'msw';
import { expect, test, vi } from 'vitest';
import { server } from '../testing/server';
import { show } from '../testing/show';
import { NewKey } from './NewKey';

test('the dialog of a new key stays open until Done, and copies where pages have no clipboard', async () => {
  server.use(answer.post('*/api/v1/keys', () => HttpResponse.json({ id: 'k1', key: 'sbt_k1_shown' }, { status: 201 })));
  const { user } = show(<NewKey />);
  await user.click(await screen.findByRole('button', { name: 'New key' }));
  await user.type(await screen.findByLabelText(/^Label/), 'the loader');
  await user.click(screen.getByRole('button', { name: 'Create' }));
  expect(await screen.findByText('sbt_k1_shown')).toBeVisible();

  await user.keyboard('{Escape}');
  expect(screen.getByText('sbt_k1_shown')).toBeVisible();

  const copied: string[] = [];
  vi.stubGlobal('navigator', { ...navigator, clipboard: undefined, userAgent: '' });
  document.execCommand = () => Boolean(copied.push(document.getSelection()?.toString() ?? ''));
  await user.click(screen.getByRole('button', { name: 'Copy' }));
  expect(await screen.findByRole('button', { name: 'Copied' })).toBeVisible();
  expect(copied).toEqual(['sbt_k1_shown']);
  vi.unstubAllGlobals();

  await user.click(screen.getByRole('button', { name: 'Done' }));
  await waitFor(() => expect(screen.queryByText('sbt_k1_shown')).toBeNull());
});
