import { act, fireEvent, screen } from '@testing-library/react';
import { useState } from 'react';
import { expect, test } from 'vitest';
import { show } from '../testing/show';
import { FilterField } from './FilterField';

let fromOutside: (value: string | undefined) => void;
let now: string | undefined;

function Page({ atOnce }: { atOnce?: boolean }) {
  const [value, setValue] = useState<string | undefined>();
  fromOutside = setValue;
  now = value;
  return <FilterField label="By" value={value} apply={setValue} atOnce={atOnce} />;
}
const typed = (field: HTMLElement, value: string) => fireEvent.change(field, { target: { value } });

test('Enter applies what is typed, and so does leaving the field', async () => {
  show(<Page />);
  const field = await screen.findByLabelText('By');
  typed(field, ' user:ann ');
  expect(now).toBeUndefined();
  fireEvent.keyDown(field, { key: 'Enter' });
  expect(now).toBe('user:ann');
  typed(field, 'user:bob');
  fireEvent.blur(field);
  expect(now).toBe('user:bob');
});

test('a link that takes the filter away takes its text away, too', async () => {
  show(<Page />);
  const field = await screen.findByLabelText('By');
  typed(field, 'user:ann');
  fireEvent.keyDown(field, { key: 'Enter' });
  act(() => fromOutside(undefined));
  expect(field).toHaveValue('');
  fireEvent.blur(field);
  expect(now).toBeUndefined();
});

test('what is typed on while the address takes over the beginning stays', async () => {
  show(<Page atOnce />);
  const field = await screen.findByLabelText('By');
  typed(field, 'lo');
  fireEvent.keyDown(field, { key: 'Enter' });
  typed(field, 'load');
  expect(field).toHaveValue('load');
});
