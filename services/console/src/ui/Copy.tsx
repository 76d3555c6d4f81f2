import { Button, Menu } from '@mantine/core';
import { IconCopy } from '@tabler/icons-react';
import type { ReactNode } from 'react';
import { useCopy } from './useCopy';

const quoted = (text: string) => `'${text.replaceAll("'", `'\\''`)}'`;

/** The call as curl; the token comes from the environment, never from the page. */
export function asCurl(method: string, path: string, body?: unknown): string {
  const parts = [`curl -sS -X ${method} -H "Authorization: Bearer $SIGNALBOX_TOKEN"`];
  if (body !== undefined) parts.push(`-H 'Content-Type: application/json' --data ${quoted(JSON.stringify(body))}`);
  return [...parts, quoted(`${location.origin}${path}`)].join(' ');
}

/** What is shown, to be taken along: as a command, as curl, as JSON. */
export function CopyMenu({ cli, path, json }: { cli?: string; path: string; json?: unknown }) {
  return (
    <Menu position="bottom-end">
      <Menu.Target>
        <Button variant="default" size="xs" leftSection={<IconCopy size={14} />}>
          Copy as
        </Button>
      </Menu.Target>
      <Menu.Dropdown>
        {cli && <CopyItem value={cli}>Command line</CopyItem>}
        <CopyItem value={asCurl('GET', path)}>curl</CopyItem>
        {json !== undefined && <CopyItem value={JSON.stringify(json, null, 2)}>JSON</CopyItem>}
      </Menu.Dropdown>
    </Menu>
  );
}

function CopyItem({ value, children }: { value: string; children: ReactNode }) {
  const { copied, copy } = useCopy(value);
  return (
    <Menu.Item onClick={copy} closeMenuOnClick={false} aria-live="polite">
      {copied ? 'Copied' : children}
    </Menu.Item>
  );
}

/** An id that is long: its beginning is shown, all of it is copied. */
export function Id({ value, length = 13 }: { value: string; length?: number }) {
  const { copied, copy } = useCopy(value);
  return (
    <button type="button" className="id" title={`${value}: copy`} aria-label={`Copy ${value}`} onClick={copy}>
      {copied ? 'copied' : value.slice(0, length)}
    </button>
  );
}
