import { expect, test } from 'vitest';
import { arrows, summary, withArrows, type Step } from './steps';

const step = (id: string, part: Partial<Step> = {}): Step => ({ id, counts: {}, ...part });
const work = { kind: 'scripted' } as Parameters<typeof summary>[0]['work'];

test('an arrow says which outcome is awaited, and which step is undone', () => {
  const steps = [
    step('load'),
    step('next', { depends_on: ['load'] }),
    step('alert', { depends_on: ['load:on_failure', 'gone'] }),
    step('clean', { depends_on: ['load:always'] }),
    step('undo', { compensates: 'load' }),
  ];
  expect(arrows(steps).map((one) => `${one.source} ${one.outcome} ${one.target}`)).toEqual([
    'load on_success next',
    'load on_failure alert',
    'load always clean',
    'load compensates undo',
  ]);
});

test('a run of many steps gets the arrows of its pipeline', () => {
  const pipeline = [
    { id: 'load', work },
    { id: 'alert', work, depends_on: [{ step: 'load', when: 'on_failure' as const }] },
  ];
  const drawn = withArrows([step('load', { state: 'FAILED' }), step('alert', { state: 'RUNNING' })], pipeline);
  expect(drawn.map((one) => one.state)).toEqual(['FAILED', 'RUNNING']);
  expect(arrows(drawn)).toEqual([{ source: 'load', target: 'alert', outcome: 'on_failure' }]);
});
