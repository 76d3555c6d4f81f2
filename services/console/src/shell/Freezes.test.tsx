import { screen } from '@testing-library/react';
import { http, HttpResponse } from 'msw';
import { expect, test } from 'vitest';
import { me, server } from '../testing/server';
import { show } from '../testing/show';
import { Freezes } from './Freezes';

test('somebody of one project sees that its work is held, why and until when', async () => {
  const held = {
    reason: 'month end', mode: 'hold', since_at: '2026-03-01T00:00:00Z', until_at: '2026-03-02T00:00:00Z',
    everything: false, engines: [], projects: ['lake'],
  }; // prettier-ignore
  server.use(
    me(['freeze.read']),
    http.get('*/api/v1/me/freezes', () => HttpResponse.json({ items: [held] })),
  );
  show(<Freezes />);
  expect(await screen.findByRole('status')).toHaveTextContent(/Frozen.*project lake: month end, until .*2/);
});
