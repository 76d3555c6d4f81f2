import { useSyncExternalStore } from 'react';
import { absolute, duration, relative } from './instants';
import { useUtc } from './preferences';

/** One clock for every time on the page. It goes while one of them is shown. */
let now = Date.now();
let timer: ReturnType<typeof setInterval> | undefined;
const listeners = new Set<() => void>();

function tick() {
  now = Date.now();
  if (document.visibilityState === 'visible') listeners.forEach((listener) => listener());
}

function listen(listener: () => void) {
  if (listeners.size === 0) {
    now = Date.now();
    timer = setInterval(tick, 1000);
  }
  listeners.add(listener);
  return () => {
    listeners.delete(listener);
    if (listeners.size === 0) clearInterval(timer);
  };
}

export const useNow = () => useSyncExternalStore(listen, () => now);

/** Relative, with the instant itself on hover. `exact` shows the instant. */
export function Time({ at, exact = false }: { at: string | null | undefined; exact?: boolean }) {
  const clock = useNow();
  const utc = useUtc();
  if (!at) return <span className="dim">–</span>;
  const full = absolute(at, utc);
  return (
    <time dateTime={at} title={exact ? relative(at, clock) : full} className="nowrap">
      {exact ? full : relative(at, clock)}
    </time>
  );
}

/** How long something took, or has been going on. */
export function Took({ from, to }: { from: string | null | undefined; to?: string | null }) {
  const clock = useNow();
  if (!from) return <span className="dim">–</span>;
  const end = to ? Date.parse(to) : clock;
  return <span className="nowrap">{duration((end - Date.parse(from)) / 1000)}</span>;
}
