import type { Schemas } from '../api/client';

type Param = Schemas['Param'];

/** What somebody typed, as the value the parameter wants; the words say what is wrong. */
export function valueOf(param: Param, text: string): { value?: unknown; wrong?: string } {
  if (text === '') return param.required && param.default === undefined ? { wrong: 'is needed' } : {};
  switch (param.type ?? 'string') {
    case 'integer':
      if (!/^-?\d+$/.test(text)) return { wrong: 'is a whole number' };
      return Number.isSafeInteger(Number(text))
        ? { value: Number(text) }
        : { wrong: 'has too many digits for a browser: use the command line' };
    case 'number':
      return text.trim() && Number.isFinite(Number(text)) ? { value: Number(text) } : { wrong: 'is a number' };
    case 'boolean':
      return ['true', 'false'].includes(text) ? { value: text === 'true' } : { wrong: 'is true or false' };
    case 'date':
      return /^\d{4}-\d\d-\d\d$/.test(text) ? { value: text } : { wrong: 'is a date such as 2026-03-29' };
    case 'json':
      try {
        return { value: JSON.parse(text) as unknown };
      } catch {
        return { wrong: 'is JSON' };
      }
    default: {
      const choice = param.choices?.find((one) => String(one) === text);
      return { value: choice ?? text };
    }
  }
}

export const textOf = (value: unknown) =>
  value === undefined || value === null ? '' : typeof value === 'string' ? value : JSON.stringify(value);
