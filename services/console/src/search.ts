/** Search parameters of pages, read leniently: what is not understood is left out, never an error. */
type Reader<T> = (value: unknown) => T | undefined;

const LONGEST = 500;

export const text: Reader<string> = (value) =>
  typeof value === 'string' || typeof value === 'number' ? String(value).slice(0, LONGEST) || undefined : undefined;

export const strings: Reader<string[]> = (value) => {
  const list = (Array.isArray(value) ? value : [value]).map(text).filter((one) => one !== undefined);
  return list.length ? list.slice(0, 50) : undefined;
};

export const searchOf =
  <R extends Record<string, Reader<unknown>>>(readers: R) =>
  (raw: Record<string, unknown>): { [K in keyof R]?: NonNullable<ReturnType<R[K]>> } => {
    const out: Record<string, unknown> = {};
    for (const [name, read] of Object.entries(readers)) {
      const value = read(raw[name]);
      if (value !== undefined) out[name] = value;
    }
    return out as { [K in keyof R]?: NonNullable<ReturnType<R[K]>> };
  };
