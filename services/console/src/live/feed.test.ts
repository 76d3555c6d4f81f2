import { expect, test } from 'vitest';
import { isOld, touched } from './feed';

const event = (run: string, task: string | null = null) => ({
  category: 'task',
  run_id: run,
  task_id: task,
  version: 1,
});
const key = (path: string, id?: string) => ['get', path, id ? { params: { path: { id } } } : {}];

test('an event makes its plan, its task and the lists old, and nothing else', () => {
  const changed = touched([event('p1', 't1')]);
  expect(isOld(key('/api/v1/plans'), changed)).toBe(true);
  expect(isOld(key('/api/v1/plans/{id}', 'p1'), changed)).toBe(true);
  expect(isOld(key('/api/v1/plans/{id}/items', 'p1'), changed)).toBe(true);
  expect(isOld(key('/api/v1/plans/{id}', 'p2'), changed)).toBe(false);
  expect(isOld(key('/api/v1/tasks/{id}/attempts', 't1'), changed)).toBe(true);
  expect(isOld(key('/api/v1/tasks/{id}', 't2'), changed)).toBe(false);
  expect(isOld(key('/api/v1/schedules'), changed)).toBe(false);
});

test('five thousand events of one plan ask for it once', () => {
  const changed = touched(Array.from({ length: 5000 }, () => event('p1')));
  expect(changed.plans.size).toBe(1);
});
