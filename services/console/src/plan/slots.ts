/**
 * The rows that exist while one scrolls a long list of equal rows. Their number stays the same, so each row's elements
 * are used again by the row that comes in as it goes out, and a frame of scrolling makes and removes no elements.
 */
export type Range = { startIndex: number; endIndex: number; overscan: number; count: number };

/** The rows around those in `range`, as many as `size` if there are so many. */
export function rowsAround({ startIndex, endIndex, overscan, count }: Range, size: number): number[] {
  const length = Math.min(count, Math.max(size, endIndex - startIndex + 1));
  const first = Math.max(0, Math.min(startIndex - overscan, count - length));
  return Array.from({ length }, (_, at) => first + at);
}

/** How many rows fill a box of this height, with so many more before and behind. */
export const slotsOf = (height: number, row: number, overscan: number) => Math.ceil(height / row) + 1 + 2 * overscan;
