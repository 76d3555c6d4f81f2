/** What a refused apply says: items that changed, came or went since the preview. */
export type Side = { key: string; decision: string; reason: string; expected?: unknown; deletes?: string[] };
export type Row = { key: string; change: 'changed' | 'added' | 'removed'; was?: Side; is?: Side };
type Counts = { changed: number; added: number; removed: number };
type Found = { counts: Counts; changed: { key: string; was: Side; is: Side }[]; added: Side[]; removed: Side[] };

const isFound = (value: unknown): value is Found =>
  typeof value === 'object' &&
  value !== null &&
  'counts' in value &&
  (['changed', 'added', 'removed'] as const).every((part) => Array.isArray((value as Partial<Found>)[part]));

/** The rows of the table; null for a value of another shape, which a newer server may send. */
export function rowsOf(value: unknown): { rows: Row[]; counts: Counts } | null {
  if (!isFound(value)) return null;
  return {
    counts: value.counts,
    rows: [
      ...value.changed.map(({ key, was, is }): Row => ({ key, change: 'changed', was, is })),
      ...value.added.map((is): Row => ({ key: is.key, change: 'added', is })),
      ...value.removed.map((was): Row => ({ key: was.key, change: 'removed', was })),
    ],
  };
}

export type Field = { name: string; was: unknown; is: unknown };
const fieldsOf = (value: unknown) => (value && typeof value === 'object' ? (value as Record<string, unknown>) : {});

/** What was expected of the world and is otherwise now, field by field. */
export function fieldsChanged(was: Side | undefined, is: Side | undefined): Field[] {
  if (!was || !is) return [];
  const before = { ...fieldsOf(was.expected), deletes: was.deletes ?? [] };
  const after = { ...fieldsOf(is.expected), deletes: is.deletes ?? [] };
  return [...new Set([...Object.keys(before), ...Object.keys(after)])]
    .map((name) => ({ name, was: (before as Record<string, unknown>)[name], is: (after as Record<string, unknown>)[name] }))
    .filter((field) => JSON.stringify(field.was) !== JSON.stringify(field.is));
} // prettier-ignore
