import Anser from 'anser';
import { memo } from 'react';

// everything but tabs, and what Anser reads as colours
const CONTROL = /[\u0000-\u0008\u000b-\u001a\u001c-\u001f\u007f-\u009f\u202a-\u202e\u2066-\u2069]/g;

// commands to a terminal that are not colours: titles, moves of the cursor, clearing
const COMMANDS = /\u001b(?:\][^\u0007\u001b]*(?:\u0007|\u001b\\)?|\[[0-9;?]*[A-Za-ln-z]|[@-Z\\^_])/g;

/** One line with the colours of a terminal, as text: nothing in a log is ever markup. */
export const AnsiLine = memo(function AnsiLine({ text }: { text: string }) {
  const clean = text.replace(COMMANDS, '').replace(CONTROL, '\ufffd');
  if (!clean.includes('\u001b')) return clean || ' ';
  return Anser.ansiToJson(clean, { use_classes: true, remove_empty: true }).map((part, at) => (
    <span key={at} className={part.fg ? `ink ${part.fg}` : undefined}>
      {part.content.replaceAll('\u001b', '\ufffd')}
    </span>
  ));
});
