import { QueryClient, QueryClientProvider, useQuery } from '@tanstack/react-query';
import { act, render } from '@testing-library/react';
import { afterEach, beforeEach, expect, test, vi } from 'vitest';
import { change, every } from './connection';
import { follow, setPaused } from './feed';

let reads = 0;
function Page() {
  useQuery({ queryKey: ['get', '/api/v1/plans'], queryFn: () => ++reads, refetchInterval: every(1_000) });
  return null;
}

class Socket {
  static last: Socket;
  onmessage?: (message: { data: string }) => void;
  constructor() {
    Socket.last = this;
  }
  close() {}
}

let client: QueryClient;
let stop: () => void;
beforeEach(() => {
  vi.useFakeTimers();
  vi.stubGlobal('WebSocket', Socket);
  reads = 0;
  client = new QueryClient();
  stop = follow(client);
  render(<QueryClientProvider client={client}>{<Page />}</QueryClientProvider>);
});
afterEach(() => {
  stop();
  change({ paused: false });
  vi.useRealTimers();
});

const later = (milliseconds: number) => act(() => vi.advanceTimersByTimeAsync(milliseconds));
const receive = (body: object) => Socket.last.onmessage?.({ data: JSON.stringify(body) });

test('a page that is held still reads nothing more, and reads all when it goes on', async () => {
  await later(1_500);
  const before = reads;
  expect(before).toBeGreaterThan(1);
  setPaused(client, true);
  await later(10_000);
  expect(reads).toBe(before);
  setPaused(client, false);
  await later(1_500);
  expect(reads).toBe(before + 2);
});

test('a feed that comes back, and its changes, move nothing while the page is held still', async () => {
  await later(100);
  setPaused(client, true);
  const before = reads;
  receive({ subscribed: 'all' });
  receive({ events: [{ category: 'plan', run_id: 'p1', task_id: null, version: 1 }] });
  await later(5_000);
  expect(reads).toBe(before);
  setPaused(client, false);
  await later(100);
  expect(reads).toBe(before + 1);
});
