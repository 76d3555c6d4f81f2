import { Center, Loader } from '@mantine/core';
import type { ReactNode } from 'react';
import { Failed } from '../ui/Answer';
import { useMe } from './me';
import { useSession } from './session';
import { SignIn, SignInAgain } from './SignIn';

/** Shows the console to whoever is signed in, or whom the server lets in without. */
export function Gate({ children }: { children: ReactNode }) {
  const session = useSession();
  const me = useMe();
  if (session === 'out') return <SignIn />;
  if (!me.data) {
    if (me.error && session === 'unknown')
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
