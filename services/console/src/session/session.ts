import { useSyncExternalStore } from 'react';

/**
 * Whether somebody is signed in. The cookie is out of reach of scripts; what is kept here is the token that shows that
 * a page of ours makes the call. `expired` keeps the page as it is and asks for the password on top of it.
 */
export type Session = 'unknown' | 'in' | 'expired' | 'out';

const KEY = 'signalbox.csrf';
let state: Session = 'unknown';
const listeners = new Set<() => void>();

function set(next: Session) {
  if (state === next) return;
  state = next;
  listeners.forEach((listener) => listener());
}

export const csrfToken = () => localStorage.getItem(KEY);
export const sessionWorks = () => state !== 'out' && set('in');
export const sessionEnded = () => set(state === 'in' || state === 'expired' ? 'expired' : 'out');

export function signedIn(csrf: string | null) {
  if (csrf) localStorage.setItem(KEY, csrf);
  set('in');
}

export function signedOut() {
  localStorage.removeItem(KEY);
  set('out');
}

export function useSession(): Session {
  return useSyncExternalStore(
    (listener) => {
      listeners.add(listener);
      return () => listeners.delete(listener);
    },
    () => state,
  );
}
