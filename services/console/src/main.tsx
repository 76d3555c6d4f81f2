import '@mantine/core/styles.css';
import '@mantine/notifications/styles.css';
import '@mantine/spotlight/styles.css';
import './app.css';
import { MantineProvider } from '@mantine/core';
import { Notifications } from '@mantine/notifications';
import { QueryClient, QueryClientProvider } from '@tanstack/react-query';
import { RouterProvider } from '@tanstack/react-router';
import { StrictMode } from 'react';
import { createRoot } from 'react-dom/client';
import { connection } from './live/connection';
import { router } from './router';
import { Gate } from './session/Gate';
import { theme, variables } from './theme';

const client = new QueryClient({
  defaultOptions: {
    queries: {
      networkMode: 'always',
      staleTime: 2_000,
      gcTime: 5 * 60_000,
      retry: (count, error) => count < 2 && !(error && typeof error === 'object' && 'status' in error),
      retryDelay: 800,
      // the feed says what changed; without it, and for what it does not cover, the page polls
      refetchInterval: () => (connection().paused ? false : connection().feed === 'live' ? 15_000 : 5_000),
      refetchOnWindowFocus: () => !connection().paused,
    },
    mutations: { networkMode: 'always' },
  },
});

createRoot(document.getElementById('root')!).render(
  <StrictMode>
    <MantineProvider theme={theme} cssVariablesResolver={variables} defaultColorScheme="auto">
      <QueryClientProvider client={client}>
        <Notifications position="bottom-right" />
        <Gate>
          <RouterProvider router={router} />
        </Gate>
      </QueryClientProvider>
    </MantineProvider>
  </StrictMode>,
);
