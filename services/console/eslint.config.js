import { readFileSync } from 'node:fs';
import query from '@tanstack/eslint-plugin-query';
import a11y from 'eslint-plugin-jsx-a11y';
import hooks from 'eslint-plugin-react-hooks';
import tseslint from 'typescript-eslint';

// the words that `make lint` refuses in Python's names
const toml = readFileSync(new URL('../../.ci/banned-names.toml', import.meta.url), 'utf8');
const banned = new Set(/^words = \[([^\]]+)\]/m.exec(toml)[1].match(/\w+/g));
const allowed = new Set([...toml.split('[allowed]')[1].matchAll(/^(\w+) =/gm)].map(([, name]) => name));
const wordsOf = (name) => (name.match(/[A-Z]+(?![a-z])|[A-Z]?[a-z]+/g) ?? []).map((word) => word.toLowerCase());
const names = {
  create: (context) => ({
    'Identifier, JSXIdentifier': (node) => {
      if (!allowed.has(node.name) && wordsOf(node.name).some((word) => banned.has(word)))
        context.report({ node, message: `${node.name} is not a term of the field (.ci/banned-names.toml)` });
    },
  }),
};

export default tseslint.config(
  { ignores: ['dist', 'node_modules', 'src/api/schema.d.ts', 'e2e/shots'] },
  ...tseslint.configs.recommended,
  ...query.configs['flat/recommended'],
  a11y.flatConfigs.recommended,
  { plugins: { signalbox: { rules: { names } } }, rules: { 'signalbox/names': 'error' } },
  {
    plugins: { 'react-hooks': hooks },
    rules: { 'react-hooks/rules-of-hooks': 'error', 'react-hooks/exhaustive-deps': 'error' },
  },
  {
    // one folder makes calls; pages use its hooks
    files: ['src/**/*.{ts,tsx}'],
    ignores: ['src/api/**', 'src/live/**', 'src/session/**', 'src/task/logStream.ts'],
    rules: { 'no-restricted-globals': ['error', 'fetch', 'WebSocket'] },
  },
);
