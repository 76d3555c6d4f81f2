import { useQuery } from '@tanstack/react-query';
import { http } from '../api/client';

const MAX_PAGES = 50;

/** Every output that a previewed plan would delete; `all` is false when it has more items than are read here. */
export function useDeletions(id: string) {
  return useQuery({
    queryKey: ['get', '/api/v1/plans/{id}/items', { params: { path: { id } } }, 'deletions'],
    queryFn: async ({ signal }) => {
      const paths: string[] = [];
      let cursor: string | null | undefined;
      for (let page = 0; page < MAX_PAGES && cursor !== null; page++) {
        const query = { decision: ['run'], limit: 200, ...(cursor ? { cursor } : {}) };
        const { data, error } = await http.GET('/api/v1/plans/{id}/items', { params: { path: { id }, query }, signal });
        if (error) throw error;
        paths.push(...data.items.flatMap((item) => item.deletes));
        cursor = data.next_cursor;
      }
      return { paths, all: cursor === null };
    },
    refetchInterval: false, // a preview does not change; of a large one these are many pages
  });
}
