import { renderHook, waitFor } from '@testing-library/react';
import { http, HttpResponse } from 'msw';
import { expect, test } from 'vitest';
import { server } from '../testing/server';
import { useLog } from './logStream';

test('a connection that breaks after a line and before its mark: the line is there once', async () => {
  const requests: string[] = [];
  server.use(
    http.get('*/api/v1/tasks/t1/logs', ({ request }) => {
      const since = new URL(request.url).searchParams.get('since') ?? '';
      requests.push(since);
      const encoder = new TextEncoder();
      if (requests.length > 1) return new HttpResponse('two\nthree\n\u000014\n\u0000end\n');
      return new HttpResponse(
        new ReadableStream({
          start(controller) {
            controller.enqueue(encoder.encode('one\n\u00004\ntwo\nthr'));
            setTimeout(() => controller.error(new Error('broken')), 50);
          },
        }),
      );
    }),
  );
  const { result } = renderHook(() => useLog('t1', 1));
  await waitFor(() => expect(result.current.ended).toBe(true));
  expect(requests).toEqual(['0', '4']);
  expect(result.current.lines).toEqual(['one', 'two', 'three']);
});
