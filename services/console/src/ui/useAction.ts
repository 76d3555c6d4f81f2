import { notifications } from '@mantine/notifications';
import { useQueryClient } from '@tanstack/react-query';
import { useState } from 'react';
import { http, wordsOf } from '../api/client';

type Result = { data?: unknown; error?: unknown };

const operationOf = (data: unknown) => (data as { operation_id?: string } | undefined)?.operation_id;

/** What became of an operation that was taken: the reason when it was refused after all, else nothing. */
async function refusalOf(id: string): Promise<string | null> {
  const query = { wait: '20s', until: 'end' as const };
  const { data } = await http.GET('/api/v1/operations/{id}', { params: { path: { id }, query } });
  return data && ['refused', 'failed'].includes(data.state) ? data.answer || data.state : null;
}

/**
 * Do something through the API, say how it went, and ask again for what it may have changed. What was taken and is
 * refused by the service that does it is said when that is known.
 */
export function useAction() {
  const client = useQueryClient();
  const [busy, setBusy] = useState(false);
  const act = async (done: string, call: () => Promise<Result>): Promise<boolean> => {
    setBusy(true);
    try {
      const { data, error } = await call();
      if (error) throw error;
      notifications.show({ message: done, color: 'teal', autoClose: 4000 });
      const operation = operationOf(data);
      if (operation) void follow(operation);
      return true;
    } catch (error) {
      if ((error as { status?: number } | null)?.status === 401) return false; // the page asks who one is
      const { title, detail, fields } = wordsOf(error);
      notifications.show({ title, message: [detail, ...fields].join(' · '), color: 'red', autoClose: 12_000 });
      return false;
    } finally {
      setBusy(false);
      void client.invalidateQueries();
    }
  };
  const follow = async (operation: string) => {
    const reason = await refusalOf(operation).catch(() => null);
    if (reason) notifications.show({ title: 'Refused', message: reason, color: 'red', autoClose: false });
    void client.invalidateQueries();
  };
  return { busy, act };
}
