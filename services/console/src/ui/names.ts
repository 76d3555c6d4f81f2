/** Marks that turn the direction of the text after them, and control characters: a name could pose as another. */
const TURNS = /[\u0000-\u001f\u007f-\u009f\u200e\u200f\u202a-\u202e\u2066-\u2069]/g;

/** A name as it is shown. Names that are read from right to left stay so. */
export const shown = (name: string) => name.replace(TURNS, '');

/** `1 item`, `2,000 items`. */
export const counted = (count: number, noun: string) =>
  `${count.toLocaleString('en')} ${noun}${count === 1 ? '' : 's'}`;
