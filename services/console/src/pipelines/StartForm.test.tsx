import { screen, waitFor, within } from '@testing-library/react';
import { http, HttpResponse } from 'msw';
import { expect, test } from 'vitest';
import { Gate } from '../session/Gate';
import { me, problem, server } from '../testing/server';
import { show } from '../testing/show';
import { StartForm } from './StartForm';

const form = (
  <Gate>
    <StartForm kind="pipeline" id="daily" name="Daily" params={{ day: { type: 'string', default: 'monday' } }} />
  </Gate>
);

test('a session that ends in the middle of a form: the password is asked on top, and what was typed is sent', async () => {
  let expired = false;
  const sent: unknown[] = [];
  server.use(
    http.get('*/api/v1/me', () => (expired ? problem(401, 'Who are you?') : undefined)),
    http.post('*/api/v1/pipelines/daily/run', async ({ request }) => {
      if (expired) return problem(401, 'Who are you?');
      sent.push(await request.json());
      return HttpResponse.json({ id: '0195e1a0-7c00-7000-8000-000000000001' }, { status: 202 });
    }),
    http.post('*/api/v1/auth/login', () => {
      expired = false;
      return HttpResponse.json({ csrf_token: 'next' });
    }),
  );
  const { user, router } = show(form);
  await user.click(await screen.findByRole('button', { name: 'Run Daily' }));
  const dialog = await screen.findByRole('dialog', { name: 'Run Daily' });
  await user.type(within(dialog).getByLabelText('Reason'), 'typed with care');
  expired = true;
  await user.click(within(dialog).getByRole('button', { name: 'Run' }));
  const again = await screen.findByRole('dialog', { name: 'Your session has ended' });
  expect(within(dialog).getByLabelText('Reason')).toHaveValue('typed with care');
  await user.type(within(again).getByLabelText(/User name/), 'ann');
  await user.type(within(again).getByLabelText(/Password/, { selector: 'input' }), 'eleven unrelated words');
  await user.click(within(again).getByRole('button', { name: 'Sign in' }));
  await waitFor(() => expect(screen.queryByRole('dialog', { name: 'Your session has ended' })).toBeNull());
  expect(within(dialog).getByLabelText('Reason')).toHaveValue('typed with care');
  await user.click(within(dialog).getByRole('button', { name: 'Run' }));
  await waitFor(() => expect(router.state.location.pathname).toMatch(/^\/runs\/0195e1a0/));
  expect(sent).toEqual([{ params: { day: 'monday' }, reason: 'typed with care' }]);
});

test('what the server refuses is said, and the form stays as it is', async () => {
  server.use(http.post('*/api/v1/pipelines/daily/run', () => problem(409, 'Frozen', 'month end until Monday')));
  const { user } = show(form);
  await user.click(await screen.findByRole('button', { name: 'Run Daily' }));
  const dialog = await screen.findByRole('dialog', { name: 'Run Daily' });
  await user.type(within(dialog).getByLabelText('Reason'), 'again');
  await user.click(within(dialog).getByRole('button', { name: 'Run' }));
  await screen.findByText(/month end until Monday/);
  expect(within(dialog).getByLabelText('Reason')).toHaveValue('again');
});

test('who may not start anything is not offered it', async () => {
  server.use(me(['plan.read']));
  show(
    <Gate>
      <StartForm kind="pipeline" id="daily" name="Daily" params={{}} />
      the page
    </Gate>,
  );
  await screen.findByText('the page');
  expect(screen.queryByRole('button', { name: 'Run Daily' })).toBeNull();
});
