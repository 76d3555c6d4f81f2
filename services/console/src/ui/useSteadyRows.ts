import { useEffect, useRef, useState } from 'react';

/**
 * Rows that do not jump under the pointer: while it is over the list, known rows change in place and new ones are
 * counted. They come in when the pointer leaves, or when the count is clicked.
 */
export function steady<T>(
  shown: T[],
  fresh: T[],
  idOf: (row: T) => string,
  held: boolean,
): { rows: T[]; waiting: number } {
  if (!held || shown.length === 0) return { rows: fresh, waiting: 0 };
  const byId = new Map(fresh.map((row) => [idOf(row), row]));
  const known = new Set(shown.map(idOf));
  return {
    rows: shown.map((row) => byId.get(idOf(row)) ?? row),
    waiting: fresh.filter((row) => !known.has(idOf(row))).length,
  };
}

/** A click or a key lets the rows go: what it changes is shown at once. */
export function useSteadyRows<T>(fresh: T[], idOf: (row: T) => string) {
  const [held, setHeld] = useState(false);
  const shown = useRef<T[]>([]);
  const { rows, waiting } = steady(shown.current, fresh, idOf, held);
  shown.current = rows;
  useEffect(() => {
    if (!held) return;
    const release = () => setHeld(false);
    for (const kind of ['click', 'keydown']) window.addEventListener(kind, release);
    return () => {
      for (const kind of ['click', 'keydown']) window.removeEventListener(kind, release);
    };
  }, [held]);
  return { rows, waiting, setHeld, show: () => setHeld(false) };
}
