import { notifications } from '@mantine/notifications';
import type { QueryClient } from '@tanstack/react-query';
import { http, wordsOf } from '../api/client';
import { signedOut } from './session';

const ME = '/api/v1/me';

/** End the session. Cached answers are removed, so that the next user does not see them. */
export async function signOut(client: QueryClient) {
  try {
    const { error, response } = await http.POST('/api/v1/auth/logout', { body: { everywhere: false } });
    if (error && response.status !== 401) throw error as unknown;
  } catch (error) {
    const message = wordsOf(error).title;
    notifications.show({ title: 'You are still signed in', message, color: 'red', autoClose: 12_000 });
    return;
  }
  signedOut();
  client.removeQueries({ predicate: ({ queryKey }) => queryKey[1] !== ME });
  void client.resetQueries({ queryKey: ['get', ME] });
}
