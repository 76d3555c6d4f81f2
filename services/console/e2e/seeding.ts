/** The data of all files of a run, made once before the first. */
import type { TestProject } from 'vitest/node';
import { seeded, type Ids } from './pages.ts';

declare module 'vitest' {
  export interface ProvidedContext {
    ids: Ids;
  }
}

export default async ({ provide }: TestProject) => provide('ids', await seeded());
