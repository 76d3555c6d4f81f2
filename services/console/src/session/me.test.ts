import { expect, test } from 'vitest';
import { allowed, type Me } from './me';

const me = (role: string, permissions: string[]): Me => ({
  name: 'ann',
  actor: 'user:ann',
  token_id: 'x',
  permissions,
  expires_at: null,
  id: null,
  bindings: [{ role, project: '*', engine: '*' }],
  csrf_token: null,
});

test('a viewer is offered nothing that changes', () => {
  expect(allowed(me('viewer', ['plan.read']), 'plan.control')).toBe(false);
  expect(allowed(undefined, 'plan.read')).toBe(false);
});

test('a user controls what it started, an operator what others started too', () => {
  expect(allowed(me('user', ['plan.control']), 'plan.control', 'user:ann', 'lake')).toBe(true);
  expect(allowed(me('user', ['plan.control']), 'plan.control', 'user:bob', 'lake')).toBe(false);
  expect(allowed(me('operator', ['plan.control']), 'plan.control', 'user:bob', 'lake')).toBe(true);
});
