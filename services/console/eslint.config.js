import query from '@tanstack/eslint-plugin-query';
import a11y from 'eslint-plugin-jsx-a11y';
import hooks from 'eslint-plugin-react-hooks';
import tseslint from 'typescript-eslint';

export default tseslint.config(
  { ignores: ['dist', 'node_modules', 'src/api/schema.d.ts', 'e2e/shots'] },
  ...tseslint.configs.recommended,
  ...query.configs['flat/recommended'],
  a11y.flatConfigs.recommended,
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
