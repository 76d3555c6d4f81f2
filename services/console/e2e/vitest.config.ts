import { defineConfig } from 'vitest/config';

// a real Oozie needs a JDK and minutes: `make test-console-oozie` starts one, and runs its file alone
const oozie = Boolean(process.env.SIGNALBOX_OOZIE_URL);
// pictures of the docs are made only when they are wanted: every page in them is looked at by `looks` as well
const never = process.env.SIGNALBOX_TOUR ? ['oozieReal'] : ['oozieReal', 'tour'];

export default defineConfig({
  test: {
    include: oozie ? ['e2e/oozieReal.e2e.ts'] : [`e2e/**/!(${never.join('|')}).e2e.ts`],
    root: '.',
    globalSetup: oozie ? [] : ['e2e/seeding.ts'],
    testTimeout: 240_000,
    hookTimeout: 240_000,
    fileParallelism: false,
  },
});
