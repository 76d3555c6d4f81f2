import { Alert, Button, Modal, Paper, PasswordInput, Stack, Text, TextInput, Title } from '@mantine/core';
import { useQueryClient } from '@tanstack/react-query';
import { useState } from 'react';
import { $api, http, wordsOf } from '../api/client';
import { signedIn, useSession } from './session';

/** A link to the OpenID provider, where there is one. The browser leaves this page and comes back to it. */
function OtherWays() {
  const methods = $api.useQuery('get', '/api/v1/auth/methods', {}, { staleTime: 60_000, retry: false });
  const oidc = methods.data?.oidc;
  if (!oidc) return null;
  const back = encodeURIComponent(location.pathname + location.search);
  return (
    <Button component="a" href={`${oidc.url}?return_to=${back}`} variant="default" fullWidth mt="sm">
      Sign in with {oidc.name}
    </Button>
  );
}

/** The form; `name` is given when a session ended in the middle of something. */
function SignInForm() {
  const client = useQueryClient();
  const [username, setUsername] = useState('');
  const [password, setPassword] = useState('');
  const [refused, setRefused] = useState('');
  const [busy, setBusy] = useState(false);
  const submit = async () => {
    setBusy(true);
    setRefused('');
    try {
      const { data, error } = await http.POST('/api/v1/auth/login', { body: { username, password, cookie: true } });
      if (error) throw error;
      signedIn(data.csrf_token);
      setPassword('');
      await client.invalidateQueries();
    } catch (error) {
      const { title, detail } = wordsOf(error);
      setRefused(detail || title);
    }
    setBusy(false);
  };
  return (
    <form
      onSubmit={(event) => {
        event.preventDefault();
        void submit();
      }}
    >
      <Stack>
        {refused && (
          <Alert color="red" role="alert">
            {refused}
          </Alert>
        )}
        <TextInput
          label="User name"
          autoComplete="username"
          required
          data-autofocus
          value={username}
          onChange={(event) => setUsername(event.currentTarget.value)}
        />
        <PasswordInput
          label="Password"
          autoComplete="current-password"
          required
          value={password}
          onChange={(event) => setPassword(event.currentTarget.value)}
        />
        <Button type="submit" loading={busy}>
          Sign in
        </Button>
      </Stack>
    </form>
  );
}

export function SignIn({ refused }: { refused?: string }) {
  return (
    <main className="signin">
      <Paper withBorder p="xl" radius="md" maw={380} mx="auto" mt="12vh">
        <Stack gap="xs" mb="md">
          <img src="/console/icon.svg" width={40} height={40} alt="" />
          <Title order={1} size="h3">
            Signalbox
          </Title>
          <Text size="sm" c="dimmed">
            Sign in with your account. An administrator makes accounts; on a stack of your own, <code>make up</code>{' '}
            says who and where the password is.
          </Text>
        </Stack>
        {refused && (
          <Alert color="red" role="alert" mb="md">
            {refused}
          </Alert>
        )}
        <SignInForm />
        <OtherWays />
      </Paper>
    </main>
  );
}

/** On top of the page, which stays as it is: nothing typed is lost. */
export function SignInAgain() {
  const expired = useSession() === 'expired';
  return (
    <Modal
      opened={expired}
      onClose={() => undefined}
      withCloseButton={false}
      closeOnEscape={false}
      title="Your session has ended"
      centered
      zIndex={1000}
    >
      <Text size="sm" mb="sm">
        Sign in and go on: the page below stays as it is.
      </Text>
      <SignInForm />
      <OtherWays />
    </Modal>
  );
}
