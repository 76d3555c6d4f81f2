import copyText from 'copy-to-clipboard';
import { useState } from 'react';

const SHOWN_MILLISECONDS = 1000;

/** Copies a text. Works over plain HTTP too, where browsers give pages no `navigator.clipboard`. */
export function useCopy(value: string): { copied: boolean; copy: () => void } {
  const [copied, setCopied] = useState(false);
  const copy = () => {
    void copyText(value).then((done) => {
      setCopied(done);
      setTimeout(() => setCopied(false), SHOWN_MILLISECONDS);
    });
  };
  return { copied, copy };
}
