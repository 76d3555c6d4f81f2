import type { Schemas } from '../api/client';

export type Role = Schemas['BindingCreateInput']['role'];
/** From the least to the most. */
export const ROLES: Role[] = ['viewer', 'user', 'operator', 'admin'];
