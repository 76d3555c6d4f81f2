import { QueryClient, QueryClientProvider } from '@tanstack/react-query';
import { renderHook, waitFor } from '@testing-library/react';
import { http, HttpResponse } from 'msw';
import type { ReactNode } from 'react';
import { expect, test } from 'vitest';
import { server } from '../testing/server';
import { PAGE, useItemPages } from './useItemPages';

test('when items leave the filter no page of before stays behind them', async () => {
  const client = new QueryClient();
  let failed = PAGE + 50;
  server.use(
    http.get('*/api/v1/plans/p1/items', ({ request }) => {
      const from = Number(new URL(request.url).searchParams.get('cursor') ?? 0);
      const items = Array.from({ length: Math.min(PAGE, failed - from) }, (_, at) => ({ key: `item ${from + at}` }));
      return HttpResponse.json({ items, next_cursor: from + PAGE < failed ? String(from + PAGE) : null });
    }),
  );
  const wrapper = ({ children }: { children: ReactNode }) => (
    <QueryClientProvider client={client}>{children}</QueryClientProvider>
  );
  const { result, rerender } = renderHook(({ last }) => useItemPages('p1', { state: ['FAILED'] }, 0, last, false), {
    wrapper,
    initialProps: { last: 0 },
  });
  await waitFor(() => expect(result.current.loaded).toBe(PAGE));
  rerender({ last: PAGE });
  await waitFor(() => expect(result.current.loaded).toBe(PAGE + 50));
  rerender({ last: 0 }); // one scrolls back: the second page is not read again
  failed = 3;
  void client.invalidateQueries();
  await waitFor(() => expect(result.current.loaded).toBe(3));
  expect(result.current.more).toBe(false);
});
