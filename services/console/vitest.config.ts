import react from '@vitejs/plugin-react';
import { defineConfig } from 'vitest/config';

/** `*.test.ts` is pure logic; `*.test.tsx` shows components in a DOM, with the API played by msw. */
export default defineConfig({
  plugins: [react()],
  test: {
    projects: [
      { extends: true, test: { name: 'logic', include: ['src/**/*.test.ts'], environment: 'node' } },
      {
        extends: true,
        test: {
          name: 'components',
          include: ['src/**/*.test.tsx'],
          environment: 'jsdom',
          setupFiles: ['src/testing/setup.ts'],
          testTimeout: 60_000,
        },
      },
    ],
  },
});
