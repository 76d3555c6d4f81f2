import { expect, test } from 'vitest';
import { counted, shown } from './names';

test('a name cannot pose as another by turning its text round', () => {
  expect(shown('a\u202elive\u0007')).toBe('alive');
  expect(shown('מחר')).toBe('מחר');
});

test('one of a thing and many', () => {
  expect([counted(0, 'item'), counted(1, 'item'), counted(2000, 'item')]).toEqual(['0 items', '1 item', '2,000 items']);
});
