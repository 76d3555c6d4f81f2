import { notifications } from '@mantine/notifications';
import { useQueryClient } from '@tanstack/react-query';
import { useState } from 'react';
import { http, wordsOf, type Problem } from '../api/client';

type Result = { data?: unknown; error?: unknown };

/** The operations that an answer names: what becomes of them is known later. */
function operationsOf(data: unknown): string[] {
  const answer = data as
    { operation_id?: string; operations?: { operation_id: string }[]; operation?: string; id?: string } | undefined;
  if (answer?.operations) return answer.operations.map((one) => one.operation_id);
  const id = answer?.operation_id ?? (answer?.operation ? answer.id : undefined);
  return id ? [id] : [];
}

const MAX_WAITS = 15; // of 20 s
const AGAIN_MS = 2_000;

/** What became of an operation that was taken: the reason when it was refused after all, else nothing. */
async function refusalOf(id: string): Promise<string | null> {
  const query = { wait: '20s', until: 'end' as const };
  for (let waits = 0; waits < MAX_WAITS; waits++) {
    const answer = await http.GET('/api/v1/operations/{id}', { params: { path: { id }, query } }).catch(() => null);
    if (answer?.error && answer.response.status < 500) return null;
    const state = answer?.data?.state;
    if (state && state !== 'pending')
      return ['refused', 'failed'].includes(state) ? answer.data?.answer || state : null;
    if (!state) await new Promise((resolve) => setTimeout(resolve, AGAIN_MS));
  }
  return null;
}

type FieldErrors = NonNullable<Problem['errors']>;

/** What the API allows in a field that it refused, or in a part of it; `field` is the path in the body. */
const errorAt = (errors: FieldErrors, field: string): string | undefined =>
  errors.find((one) => one.field === field || one.field.startsWith(`${field}.`))?.allowed;

/**
 * Do something through the API, say how it went, and ask again for what it may have changed. What was taken and is
 * refused by the service that does it is said when that is known. `errorAt` has what the API refused in a field.
 */
export function useAction() {
  const client = useQueryClient();
  const [busy, setBusy] = useState(false);
  const [errors, setErrors] = useState<FieldErrors>([]);
  const act = async (done: string, call: () => Promise<Result>): Promise<boolean> => {
    setBusy(true);
    setErrors([]);
    try {
      const { data, error } = await call();
      if (error) throw error;
      notifications.show({ message: done, color: 'teal', autoClose: 4000 });
      for (const operation of operationsOf(data)) void follow(operation);
      return true;
    } catch (error) {
      if ((error as { status?: number } | null)?.status === 401) return false; // the page asks who one is
      const { title, detail, fields } = wordsOf(error);
      setErrors((error as Partial<Problem> | null)?.errors ?? []);
      notifications.show({ title, message: [detail, ...fields].join(' · '), color: 'red', autoClose: 12_000 });
      return false;
    } finally {
      setBusy(false);
      void client.invalidateQueries();
    }
  };
  const follow = async (operation: string) => {
    const reason = await refusalOf(operation);
    if (reason) notifications.show({ title: 'Refused', message: reason, color: 'red', autoClose: false });
    void client.invalidateQueries();
  };
  return { busy, act, errorAt: (field: string) => errorAt(errors, field) };
}
