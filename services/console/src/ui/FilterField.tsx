import { TextInput, type TextInputProps } from '@mantine/core';
import { useDebouncedCallback } from '@mantine/hooks';
import { useState } from 'react';

type Props = Omit<TextInputProps, 'value' | 'onChange' | 'onBlur' | 'onKeyDown'> & {
  /** As it is in the address. */
  value: string | undefined;
  apply: (value: string | undefined) => void;
  /** Apply it while somebody types, not only at Enter or when the field is left. */
  atOnce?: boolean;
};

/** A filter that is typed. It shows what the address says, also when a link or `back` changes that. */
export function FilterField({ value, apply, atOnce = false, ...rest }: Props) {
  const [text, setText] = useState(value ?? '');
  const [seen, setSeen] = useState(value);
  const [applied, setApplied] = useState(value);
  if (seen !== value) {
    setSeen(value);
    if (value !== applied) {
      setApplied(value);
      setText(value ?? '');
    }
  }
  const now = (typed: string) => {
    const next = typed.trim() || undefined;
    soon.cancel();
    setApplied(next);
    if (next !== value) apply(next);
  };
  const soon = useDebouncedCallback(now, 250);
  return (
    <TextInput
      {...rest}
      value={text}
      onChange={(event) => {
        setText(event.currentTarget.value);
        if (atOnce) soon(event.currentTarget.value);
      }}
      onBlur={() => now(text)}
      onKeyDown={(event) => event.key === 'Enter' && now(text)}
    />
  );
}
