import { Fragment } from 'react';
import { Time } from './Time';

const PARTS = /(`[^`]+`|\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(?:\.\d+)?Z)/;

/** A sentence of the API: its commands as code, its instants as everywhere on the page. All else is text. */
export function Sentence({ text }: { text: string }) {
  return text.split(PARTS).map((part, at) => {
    if (at % 2 === 0) return <Fragment key={at}>{part}</Fragment>;
    return part.startsWith('`') ? <code key={at}>{part.slice(1, -1)}</code> : <Time key={at} at={part} />;
  });
}
