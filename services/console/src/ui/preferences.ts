import { useSyncExternalStore } from 'react';

/** UTC or local, remembered by the browser. */
const KEY = 'signalbox.zone';
const listeners = new Set<() => void>();

export const inUtc = () => localStorage.getItem(KEY) !== 'local';

export function setUtc(utc: boolean) {
  localStorage.setItem(KEY, utc ? 'utc' : 'local');
  listeners.forEach((listener) => listener());
}

export const useUtc = () =>
  useSyncExternalStore((listener) => {
    listeners.add(listener);
    return () => listeners.delete(listener);
  }, inUtc);
