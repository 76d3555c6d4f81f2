import { useInfiniteQuery } from '@tanstack/react-query';
import { useMemo } from 'react';
import { http } from '../api/client';
import type { paths } from '../api/schema';

type Page<T> = { items: T[]; next_cursor?: string | null };
type ItemOf<P extends keyof paths> = paths[P] extends {
  get: { responses: { 200: { content: { 'application/json': { items: (infer T)[] } } } } };
}
  ? T
  : never;
type ListPath = { [P in keyof paths]: [ItemOf<P>] extends [never] ? never : P }[keyof paths];
type QueryOf<P extends keyof paths> = paths[P] extends { get: { parameters: { query?: infer Q } } } ? Q : never;

/** A list of the API, page by page: the first is read, the others when somebody wants more. For `ListPart`. */
export function useList<P extends ListPath>(path: P, query: QueryOf<P>, of: { id?: string } = {}) {
  const list = useInfiniteQuery({
    queryKey: ['get', path, { params: { path: of, query } }, 'pages'],
    initialPageParam: '',
    queryFn: async ({ pageParam, signal }) => {
      const params = { path: of, query: { ...(query as object), ...(pageParam ? { cursor: pageParam } : {}) } };
      const { data, error } = await http.GET(path as '/api/v1/jobs', { params: params as never, signal });
      if (error) throw error as unknown;
      return data as unknown as Page<ItemOf<P>>;
    },
    getNextPageParam: (page) => page.next_cursor ?? undefined,
  });
  const { data: read, error, isPending, dataUpdatedAt, refetch, hasNextPage, isFetchingNextPage, fetchNextPage } = list;
  const data = useMemo(() => read && { items: read.pages.flatMap((page) => page.items) }, [read]);
  return { data, error, isPending, dataUpdatedAt, refetch, hasNextPage, isFetchingNextPage, fetchNextPage };
}
