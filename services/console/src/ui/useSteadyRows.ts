import { useEffect, useRef, useState, type PointerEvent } from 'react';

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

/** How long a click or a key lets the rows go: what it changes is read in that time. */
export const LET_GO_MS = 3_000;

/**
 * A click or a key lets the rows go, so that what it changes is shown. They are held again when the pointer enters, or
 * moves over them a while later.
 */
export function useSteadyRows<T>(fresh: T[], idOf: (row: T) => string) {
  const [held, setHeld] = useState(false);
  const released = useRef(0);
  const shown = useRef<T[]>([]);
  const { rows, waiting } = steady(shown.current, fresh, idOf, held);
  shown.current = rows;
  useEffect(() => {
    const release = () => {
      released.current = Date.now();
      setHeld(false);
    };
    for (const kind of ['click', 'keydown']) window.addEventListener(kind, release);
    return () => {
      for (const kind of ['click', 'keydown']) window.removeEventListener(kind, release);
    };
  }, []);
  const pointer = {
    onPointerEnter: () => setHeld(true),
    onPointerLeave: () => setHeld(false),
    onPointerMove: (event: PointerEvent) => {
      const inside = event.currentTarget.contains(event.target as Node); // a dialog of a row is elsewhere on the page
      if (inside && Date.now() - released.current > LET_GO_MS) setHeld(true);
    },
  };
  return { rows, waiting, pointer, show: () => setHeld(false) };
}
