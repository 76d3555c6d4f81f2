import { screen } from '@testing-library/react';
import { expect, test } from 'vitest';
import { show } from '../testing/show';
import { NoEngines } from './EnginesTable';

test('without an engine it says where to register one, and by which command', async () => {
  show(<NoEngines />);
  expect(await screen.findByRole('link', { name: 'Engines' })).toHaveAttribute('href', '/engines');
  expect(screen.getByText('signalbox engine create --file engine.yaml')).toBeVisible();
});
