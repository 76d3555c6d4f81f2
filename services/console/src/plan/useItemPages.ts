import { useQueries } from '@tanstack/react-query';
import { useRef } from 'react';
import { http, type Schemas } from '../api/client';
import { every } from '../live/connection';

type Item = Schemas['Item'];
type Page = { items: Item[]; next_cursor: string | null };

export const PAGE = 200;

/**
 * The items of a plan, page by page. Only the visible pages are fetched, and fetched again when
 * something changes; the others keep what was read. `first` and `last` are the rows that are looked at.
 */
export function useItemPages(id: string, filter: object, first: number, last: number, lives: boolean) {
  const key = `${id} ${JSON.stringify(filter)}`;
  const kept = useRef<{ key: string; pages: Page[] }>({ key, pages: [] });
  if (kept.current.key !== key) kept.current = { key, pages: [] };
  const { pages } = kept.current;
  const from = Math.min(Math.floor(first / PAGE), Math.max(0, pages.length - 1));
  const to = Math.min(Math.floor(last / PAGE), pages.length);
  const wanted = Array.from({ length: to - from + 1 }, (_, at) => from + at).filter(
    (page) => page === 0 || pages[page - 1]?.next_cursor,
  );
  const answers = useQueries({
    queries: wanted.map((page) => {
      const cursor = page === 0 ? undefined : (pages[page - 1]!.next_cursor ?? undefined);
      return {
        queryKey: ['get', '/api/v1/plans/{id}/items', { params: { path: { id } } }, filter, cursor ?? ''],
        queryFn: async ({ signal }: { signal: AbortSignal }): Promise<Page> => {
          const query = { ...filter, limit: PAGE, ...(cursor ? { cursor } : {}) };
          const { data, error } = await http.GET('/api/v1/plans/{id}/items', { params: { path: { id }, query }, signal });
          if (error) throw error;
          return data;
        },
        refetchInterval: lives ? every(15_000) : (false as const),
      };
    }),
  });
  wanted.forEach((page, at) => {
    const data = answers[at]?.data;
    if (!data) return;
    // items came into this page or went out of it: the pages behind it begin elsewhere, and are read again when seen
    if (pages[page] && pages[page].next_cursor !== data.next_cursor) pages.length = page + 1;
    pages[page] = data;
  });
  const end = pages.at(-1);
  return {
    row: (index: number): Item | undefined => pages[Math.floor(index / PAGE)]?.items[index % PAGE],
    loaded: pages.reduce((sum, page) => sum + page.items.length, 0),
    more: end === undefined || end.next_cursor !== null,
    first: answers[0],
  };
} // prettier-ignore
