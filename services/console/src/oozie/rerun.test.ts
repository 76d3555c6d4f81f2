import { expect, test } from 'vitest';
import { bodyOf, coordinatorsOf, FIRST, idsOf, propertiesOf, rangesOf, wrongWith, type Draft } from './rerun';

const draft: Draft = {
  ...FIRST,
  engine: 'oozie',
  coordinators: ['0001-C', '0002-C', '0003-B'],
  from: '2026-03-01',
  until: '2026-03-07',
  numbers: '1-20, 31',
  policy: 'failed',
  scope: 'only_failed',
  order: 'newest_first',
  name: '',
  reason: 'ticket',
};

test('ranges are read, and nonsense is none', () => {
  expect(rangesOf('1-20, 31')).toEqual([
    [1, 20],
    [31, 31],
  ]);
  expect(rangesOf('')).toEqual([]);
  expect(rangesOf('20-1')).toBeNull();
  expect(rangesOf('all')).toBeNull();
});

test('ids that are pasted are parted, and none stays twice', () => {
  expect(idsOf(['0001-C,', '0002-C; 0003-B\n0001-C'])).toEqual(['0001-C', '0002-C', '0003-B']);
});

test('a draft becomes a preview: coordinators and bundles apart, days whole', () => {
  const body = bodyOf(draft);
  expect(body).toMatchObject({
    preview: true,
    rules: { order: 'newest_first', limit: 4 },
    name: 'Rerun of 0001-C and 2 more',
  });
  expect(body.selections![0]!.selection).toMatchObject({
    coordinators: ['0001-C', '0002-C'],
    bundles: ['0003-B'],
    dates: [['2026-03-01T00:00:00Z', '2026-03-07T23:59:59Z']],
    rerun: { policy: 'failed', scope: 'only_failed', clean_up: false },
  });
});

test('what is wrong is named by its field', () => {
  expect(wrongWith(draft)).toEqual({});
  expect(
    Object.keys(wrongWith({ ...draft, engine: '', coordinators: [], until: '2026-02-01', numbers: 'x' })).sort(),
  ).toEqual(['coordinators', 'engine', 'numbers', 'until']);
});

test('more coordinators than one preview takes are refused, not left out', () => {
  const many = Array.from({ length: 201 }, (_, at) => `${at}-C`);
  expect(wrongWith({ ...draft, coordinators: many }).coordinators).toMatch(/At most 200 of each; these are 201/);
  expect(wrongWith({ ...draft, coordinators: many.slice(1) })).toEqual({});
});

test('coordinators of earlier runs are offered once each', () => {
  const keys = ['0000001-261128-oozie-C@7', '0000001-261128-oozie-C@8', 'part-1', '0000002-261128-oozie-C@1'];
  expect(coordinatorsOf(keys)).toEqual(['0000001-261128-oozie-C', '0000002-261128-oozie-C']);
});

const SCOPES = ['all', 'skip_successful', 'only_failed', 'nodes'] as const;
const rerunOf = (part: Partial<Draft>) => (bodyOf({ ...draft, nodes: ['load'], ...part }).selections![0]!.selection as { rerun: Record<string, unknown> }).rerun; // prettier-ignore

test.each(SCOPES)('output is kept with scope %s unless a deletion is chosen', (scope) => {
  expect(FIRST.cleanUp).toBe(false);
  expect(rerunOf({ cleanUp: FIRST.cleanUp, scope })).toMatchObject({ scope, clean_up: false });
});

test.each(SCOPES)('with scope %s nothing is sent that the API refuses or Oozie ignores', (scope) => {
  for (const kind of ['oozie_actions', 'oozie_workflows'] as const) {
    const rerun = rerunOf({ kind, scope, cleanUp: true, refresh: true, workflows: ['0001-W'] });
    const byCoordinator = scope === 'all' && kind === 'oozie_actions';
    expect(rerun).toMatchObject({ clean_up: byCoordinator, refresh: byCoordinator });
    expect(rerun['nodes']).toEqual(scope === 'nodes' ? ['load'] : undefined);
  }
}); // prettier-ignore

test('workflows are selected by ids or by what they are, and not by a last day alone', () => {
  const workflows: Draft = { ...draft, kind: 'oozie_workflows', from: '', until: '2026-03-07', numbers: 'x', coordinators: [] };
  expect(Object.keys(wrongWith(workflows))).toEqual(['workflows']);
  for (const part of [{ workflows: ['1-W'] }, { workflowName: 'load' }, { phases: ['failed'] }, { from: '2026-03-01' }])
    expect(wrongWith({ ...workflows, ...part })).toEqual({});
  expect(bodyOf({ ...workflows, phases: ['failed'], workflowUser: 'etl', from: '2026-03-01' })).toMatchObject({
    name: 'Rerun of workflows',
    selections: [{ selection: {
      kind: 'oozie_workflows', phases: ['failed'], user: 'etl', from_at: '2026-03-01T00:00:00Z', until_at: '2026-03-07T23:59:59Z',
    } }],
  });
}); // prettier-ignore

test('properties are read one a line, and a line that is none is named', () => {
  expect(propertiesOf(' retries = 3\n\nurl=http://x/?a=b\n').properties).toEqual({
    retries: '3',
    url: 'http://x/?a=b',
  });
  expect(rerunOf({ properties: 'retries=3' })).toMatchObject({ properties: { retries: '3' } });
  expect(wrongWith({ ...draft, properties: 'a=1\nb' }).properties).toMatch(/^b: name=value/);
  expect(wrongWith({ ...draft, properties: 'a=' }).properties).toMatch(/no empty value/);
  expect(wrongWith({ ...draft, properties: 'a=1\na=2' }).properties).toBe('a is there twice');
});
