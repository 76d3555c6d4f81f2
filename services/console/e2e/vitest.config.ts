import { defineConfig } from 'vitest/config';

// a real Oozie needs a JDK and minutes: `make test-console-oozie` starts one, and runs its file alone
const include = process.env.SIGNALBOX_OOZIE_URL ? ['e2e/oozieReal.e2e.ts'] : ['e2e/**/!(oozieReal).e2e.ts'];

export default defineConfig({
  test: { include, root: '.', testTimeout: 120_000, hookTimeout: 240_000, fileParallelism: false },
});
