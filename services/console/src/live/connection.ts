import { useSyncExternalStore } from 'react';

/** How fresh what the pages show is: the feed's state, and when the server last answered. */
export type Connection = {
  feed: 'connecting' | 'live' | 'away' | 'none';
  server: 'there' | 'away';
  answeredAt: number;
  paused: boolean;
  held: number;
};

let state: Connection = { feed: 'connecting', server: 'there', answeredAt: Date.now(), paused: false, held: 0 };
const listeners = new Set<() => void>();

export function change(part: Partial<Connection>) {
  state = { ...state, ...part };
  listeners.forEach((listener) => listener());
}

export const connection = () => state;

export function serverAnswered() {
  const now = Date.now();
  if (state.server !== 'there' || now - state.answeredAt > 5000) change({ server: 'there', answeredAt: now });
}

export const serverAway = () => state.server !== 'away' && change({ server: 'away' });

export const useConnection = () =>
  useSyncExternalStore(
    (listener) => {
      listeners.add(listener);
      return () => listeners.delete(listener);
    },
    () => state,
  );

/** How often a page reads again by itself; not while it is held still. For `refetchInterval`. */
export const every = (milliseconds: number) => () => (state.paused ? (false as const) : milliseconds);
