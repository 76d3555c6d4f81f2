import { screen } from '@testing-library/react';
import { expect, test } from 'vitest';
import { show } from '../testing/show';
import { Sentence } from './Sentence';

test('commands are code, instants are times, all else is text', async () => {
  show(
    <p data-testid="why">
      <Sentence text="<b>3 of 3</b> are taken, since 2026-03-29T00:00:07Z; raise it with `signalbox plan rules x --limit N`" />
    </p>,
  );
  const why = await screen.findByTestId('why');
  expect(why.querySelector('code')).toHaveTextContent('signalbox plan rules x --limit N');
  expect(why.querySelector('time')).toHaveAttribute('datetime', '2026-03-29T00:00:07Z');
  expect(why.querySelector('b')).toBeNull();
  expect(why).toHaveTextContent('<b>3 of 3</b> are taken, since');
});
