import { applyPatch, createPatch } from 'rfc6902';

type Value = unknown;
export type Change = { path: string; before: Value; after: Value };

const at = (value: Value, path: string): Value =>
  path
    .split('/')
    .slice(1)
    .map((part) => part.replaceAll('~1', '/').replaceAll('~0', '~'))
    .reduce((found: Value, part) => (found as { [key: string]: Value } | undefined)?.[part], value);

/** What differs between two values: a JSON Pointer for each place, what was there and what is. */
export function changesOf(before: Value, after: Value): Change[] {
  const paths = new Set(createPatch(before, after).map((one) => one.path.replace(/\/-$/, '')));
  return [...paths].map((path) => ({ path, before: at(before, path), after: at(after, path) }));
}

/** Two people changed one thing: what the other changed, and in which places both did. */
export function conflictOf(base: Value, theirs: Value, mine: Value) {
  const own = changesOf(base, mine);
  const others = changesOf(base, theirs);
  const meet = (a: string, b: string) => a === b || a.startsWith(`${b}/`) || b.startsWith(`${a}/`);
  const same = (one: Change) => JSON.stringify(at(mine, one.path)) === JSON.stringify(one.after);
  const both = others.filter((one) => own.some((other) => meet(one.path, other.path)) && !same(one));
  return { own, others, both: new Set(both.map((one) => one.path)) };
}

/** My changes made again on what the other saved; mine win where both changed the same. Null if they do not fit. */
export function mergedOf(base: Value, theirs: Value, mine: Value): Value | null {
  const merged = structuredClone(theirs);
  const results = applyPatch(merged, createPatch(base, mine));
  return results.every((one) => one === null) ? merged : null;
}
