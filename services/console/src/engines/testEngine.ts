import { notifications } from '@mantine/notifications';
import { http, wordsOf } from '../api/client';

/** Ask an engine whether it answers, and say what it answered. */
export async function testEngine(id: string, reason: string): Promise<boolean> {
  try {
    const { data, error } = await http.POST('/api/v1/engines/{id}/test', {
      params: { path: { id } },
      body: { reason },
    });
    if (error) throw error as unknown;
    const { data: done, error: lost } = await http.GET('/api/v1/operations/{id}', {
      params: { path: { id: data.id }, query: { wait: '20s', until: 'end' } },
    });
    if (lost) throw lost as unknown;
    const good = done.state === 'done';
    notifications.show({
      title: good
        ? 'The engine answers'
        : done.state === 'pending'
          ? 'The test has no answer yet'
          : `The test ${done.state}`,
      message: done.answer,
      color: good ? 'teal' : 'red',
    });
    return true;
  } catch (error) {
    const { title, detail } = wordsOf(error);
    notifications.show({ title, message: detail, color: 'red', autoClose: 12_000 });
    return false;
  }
}
