import { fireEvent, screen } from '@testing-library/react';
import { http, HttpResponse } from 'msw';
import { expect, test } from 'vitest';
import { Gate } from '../session/Gate';
import { me, server } from '../testing/server';
import { show } from '../testing/show';
import { RerunBuilder } from './RerunBuilder';

const engines = http.get('*/api/v1/engines', () =>
  HttpResponse.json({ items: [{ id: 'oozie', connection: { kind: 'oozie' } }], next_cursor: null }),
);
const tasks = http.get('*/api/v1/tasks', () => HttpResponse.json({ items: [], next_cursor: null }));
const page = (
  <Gate>
    <RerunBuilder />
  </Gate>
);

test('who may not start runs gets no form, and is told which permission it needs', async () => {
  server.use(engines, me(['plan.read']));
  show(page);
  expect(await screen.findByText(/needs the permission plan.start/)).toBeVisible();
  expect(screen.queryByRole('button', { name: 'Preview' })).toBeNull();
});

test('outputs are kept unless it is ticked, and only a rerun of every action can delete them', async () => {
  server.use(engines, tasks);
  const { user } = show(page);
  expect(await screen.findByLabelText('Delete outputs first')).not.toBeChecked();
  for (const scope of ['leave out what succeeded', 'only what failed', 'only these nodes']) {
    await user.click(screen.getByLabelText(scope));
    expect(screen.queryByLabelText('Delete outputs first')).toBeNull();
  }
  await user.click(screen.getByLabelText('every action of the workflow'));
  expect(screen.getByLabelText('Delete outputs first')).not.toBeChecked();
});

test('what the API refuses stands at its field', async () => {
  const errors = [
    { field: 'selections.0.selection.oozie_actions.rerun.properties', value: null, allowed: 'user.name: only Signalbox sets it' },
    { field: 'rules.canary.first', value: '0', allowed: 'Input should be greater than or equal to 1' },
  ]; // prettier-ignore
  const refused = {
    type: '/problems/invalid',
    title: 'Invalid',
    status: 422,
    detail: 'refused',
    trace_id: 'abc',
    errors,
  };
  server.use(
    engines,
    tasks,
    http.post('*/api/v1/plans', () => HttpResponse.json(refused, { status: 422 })),
  );
  const { user } = show(page);
  const coordinators = (await screen.findAllByLabelText(/Coordinators and bundles/))[0]!;
  await user.type(coordinators, '1-C,');
  fireEvent.change(screen.getByLabelText('Properties to override'), { target: { value: 'user.name=x' } });
  await user.click(screen.getByRole('button', { name: 'Preview' }));
  await screen.findByText('Invalid');
  expect(screen.getByLabelText('Properties to override')).toHaveAccessibleDescription(/only Signalbox sets it/);
  expect(screen.getByLabelText('Canary')).toHaveAccessibleDescription(/greater than or equal to 1/);
});
