import { fireEvent, screen } from '@testing-library/react';
import { http, HttpResponse } from 'msw';
import { expect, test } from 'vitest';
import { problem, server } from '../testing/server';
import { show } from '../testing/show';
import { Gate } from './Gate';
import { signOut } from './signOut';
import { useMe } from './me';

const page = <Gate>the page</Gate>;

async function signIn(user: ReturnType<typeof show>['user'], name: string) {
  fireEvent.change(await screen.findByLabelText(/User name/), { target: { value: name } });
  fireEvent.change(screen.getByLabelText(/Password/, { selector: 'input' }), { target: { value: 'eleven words' } });
  await user.click(screen.getByRole('button', { name: 'Sign in' }));
}

test('a browser that does not keep the cookie: the page says so, and does not load for ever', async () => {
  server.use(
    http.get('*/api/v1/me', () => problem(401, 'Who are you?')),
    http.post('*/api/v1/auth/login', () => HttpResponse.json({ csrf_token: 'next' })),
  );
  const { user } = show(page);
  await signIn(user, 'ann');
  expect(await screen.findByText(/the browser did not keep its cookie/)).toBeVisible();
});

test('a sign-out that got no answer says that one is still signed in', async () => {
  server.use(http.post('*/api/v1/auth/logout', () => HttpResponse.error()));
  const { client } = show(page);
  await screen.findByText('the page');
  await signOut(client);
  expect(await screen.findByText('You are still signed in')).toBeVisible();
  expect(screen.getByText('the page')).toBeVisible();
});

function Name() {
  return <>signed in as {useMe().data?.name}</>;
}

test('the next user sees nothing of the previous session', async () => {
  server.use(
    http.post('*/api/v1/auth/logout', () => HttpResponse.json({})),
    http.post('*/api/v1/auth/login', () => HttpResponse.json({ csrf_token: 'next' })),
  );
  const { client, user } = show(<Gate>{<Name />}</Gate>);
  await screen.findByText('signed in as ann');
  client.setQueryData(['get', '/api/v1/secrets'], { items: [{ name: 'warehouse' }] });
  server.use(http.get('*/api/v1/me', () => problem(401, 'Who are you?')));
  await signOut(client);
  await screen.findByLabelText(/User name/);
  expect(client.getQueryData(['get', '/api/v1/secrets'])).toBeUndefined();
  let answer: () => void = () => undefined;
  const waits = new Promise<void>((resolve) => (answer = resolve));
  server.use(
    http.get('*/api/v1/me', async () => {
      await waits;
      return HttpResponse.json({ name: 'bob', actor: 'user:bob', permissions: [], bindings: [], csrf_token: 'next' });
    }),
  );
  await signIn(user, 'bob');
  expect(screen.queryByText(/ann/)).toBeNull();
  answer();
  expect(await screen.findByText('signed in as bob')).toBeVisible();
});
