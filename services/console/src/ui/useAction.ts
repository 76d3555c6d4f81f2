import { notifications } from '@mantine/notifications';
import { useQueryClient } from '@tanstack/react-query';
import { useState } from 'react';
import { wordsOf } from '../api/client';

type Result = { data?: unknown; error?: unknown };

/** Do something through the API, say how it went, and ask again for what it may have changed. */
export function useAction() {
  const client = useQueryClient();
  const [busy, setBusy] = useState(false);
  const act = async (done: string, call: () => Promise<Result>): Promise<boolean> => {
    setBusy(true);
    try {
      const { error } = await call();
      if (error) throw error;
      notifications.show({ message: done, color: 'teal', autoClose: 4000 });
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
  return { busy, act };
}
