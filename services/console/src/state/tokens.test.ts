import { readFileSync } from 'node:fs';
import { describe, expect, test } from 'vitest';
import { TOKENS, token } from './tokens';

const document = JSON.parse(readFileSync(`${import.meta.dirname}/../../../api-gateway/openapi.json`, 'utf8'));

describe('the token table', () => {
  test.each(Object.keys(TOKENS))('knows every value of %s that the API knows, and no other', (kind) => {
    const known: string[] = document.components.schemas[kind]['x-known-values'];
    expect(Object.keys(TOKENS[kind as keyof typeof TOKENS]).sort()).toEqual([...known].sort());
  });

  test('shows a state of a newer server calmly', () => {
    expect(token('PlanState', 'HALF_DONE')).toMatchObject({ word: 'half done', tone: 'off' });
    expect(token('PlanState', 'constructor').tone).toBe('off');
  });

  test('never tells two states of a kind apart by colour alone', () => {
    for (const states of Object.values(TOKENS)) {
      const words = Object.values(states).map((one) => one.word);
      expect(new Set(words).size).toBe(words.length);
    }
  });
});
