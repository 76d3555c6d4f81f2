import { expect, test } from 'vitest';
import { shown } from './names';

test('a name cannot pose as another by turning its text round', () => {
  expect(shown('a\u202elive\u0007')).toBe('alive');
  expect(shown('מחר')).toBe('מחר');
});
