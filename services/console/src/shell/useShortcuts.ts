import { useNavigate } from '@tanstack/react-router';
import { useEffect } from 'react';
import { PLACES } from './places';

const TYPING = 'input, textarea, select, [contenteditable], [role="combobox"]';

/** Focus the next row, or the one before: its first link or enabled button, else the row itself. */
export function step(by: 1 | -1) {
  const rows = [...document.querySelectorAll<HTMLElement>('main tbody tr, main .item-row')];
  const at = rows.findIndex((row) => row.contains(document.activeElement));
  const row = rows[Math.min(rows.length - 1, Math.max(0, at + by))];
  const inside = row?.querySelector<HTMLElement>('a, button:enabled');
  if (row && !inside) row.tabIndex = -1;
  (inside ?? row)?.focus();
}

/** `/` searches, `g` and a letter goes, `j`/`k` move from row to row, `?` helps. Nothing while somebody types. */
export function useShortcuts({ help, search }: { help: () => void; search: () => void }) {
  const navigate = useNavigate();
  useEffect(() => {
    let afterG = 0;
    const pressed = (event: KeyboardEvent) => {
      if (event.ctrlKey || event.metaKey || event.altKey) return;
      if ((event.target as Element | null)?.closest?.(TYPING) || document.querySelector('[role="dialog"]')) return;
      const place = PLACES.find((one) => one.key === event.key);
      if (Date.now() - afterG < 1500 && place) {
        afterG = 0;
        event.preventDefault();
        void navigate({ to: place.to });
      } else if (event.key === 'g') afterG = Date.now();
      else if (event.key === 'j') step(1);
      else if (event.key === 'k') step(-1);
      else if (event.key === '?') help();
      else if (event.key === '/') {
        event.preventDefault();
        const field = document.querySelector<HTMLInputElement>('main input[data-search]');
        if (field) field.focus();
        else search();
      }
    };
    document.addEventListener('keydown', pressed);
    return () => document.removeEventListener('keydown', pressed);
  }, [navigate, help, search]);
}
