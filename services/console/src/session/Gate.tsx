import { Center, Loader } from '@mantine/core';
import type { ReactNode } from 'react';
import { Failed } from '../ui/Answer';
import { useMe } from './me';
import { useSession } from './session';
import { SignIn, SignInAgain } from './SignIn';

const NOT_KEPT =
  'The sign-in worked, but the browser did not keep its cookie. Cookies may be blocked, or they are sent over TLS only ' +
  'and this page is not encrypted: an administrator can change SIGNALBOX_SECURE_COOKIES.';

/** Shows the console to whoever is signed in, or whom the server lets in without. */
export function Gate({ children }: { children: ReactNode }) {
  const session = useSession();
  const me = useMe();
  if (session === 'out') return <SignIn />;
  if (!me.data) {
    if (session === 'expired') return <SignIn refused={NOT_KEPT} />;
    if (me.error)
      return (
        <main style={{ padding: 24, maxWidth: 640, margin: '10vh auto' }}>
          <Failed error={me.error} again={() => void me.refetch()} />
        </main>
      );
    return (
      <Center h="60vh">
        <Loader aria-label="Loading" />
      </Center>
    );
  }
  return (
    <>
      {children}
      <SignInAgain />
    </>
  );
}
