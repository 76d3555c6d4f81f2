import { AppShell, Burger, Button, Menu, useComputedColorScheme, useMantineColorScheme } from '@mantine/core';
import { useDisclosure, useMediaQuery } from '@mantine/hooks';
import { spotlight, Spotlight } from '@mantine/spotlight';
import { useQueryClient } from '@tanstack/react-query';
import { Link, Outlet, useNavigate } from '@tanstack/react-router';
import { IconKeyboard, IconLogout, IconMoon, IconSearch, IconSun, IconUser } from '@tabler/icons-react';
import { useEffect } from 'react';
import { follow } from '../live/feed';
import { useMay, useMe } from '../session/me';
import { signOut } from '../session/signOut';
import { setUtc, useUtc } from '../ui/preferences';
import { ConnectionState } from './ConnectionState';
import { Freezes } from './Freezes';
import { Help } from './Help';
import { Nav } from './Nav';
import { PLACES } from './places';
import { useShortcuts } from './useShortcuts';

export function Shell() {
  const [opened, { toggle, close }] = useDisclosure(false);
  const [helps, help] = useDisclosure(false);
  const client = useQueryClient();
  const navigate = useNavigate();
  const may = useMay();
  const phone = useMediaQuery('(max-width: 48em)');
  useShortcuts({ help: help.open, search: spotlight.open });
  useEffect(() => follow(client), [client]);
  return (
    <AppShell
      header={{ height: 48 }}
      navbar={{ width: 208, breakpoint: 'sm', collapsed: { mobile: !opened } }}
      padding={phone ? 'sm' : 'md'}
    >
      <AppShell.Header>
        <a className="skip" href="#content">
          Skip to the page
        </a>
        <div className="head">
          <Burger opened={opened} onClick={toggle} hiddenFrom="sm" size="sm" aria-label="Navigation" />
          <Link to="/" className="brand" aria-label="Signalbox: overview">
            <img src="/console/icon.svg" width={24} height={24} alt="" />
            <span className="hide-phone">Signalbox</span>
          </Link>
          <div style={{ flex: 1 }} />
          <ConnectionState />
          <Button
            variant="default"
            size="compact-sm"
            onClick={spotlight.open}
            leftSection={<IconSearch size={14} />}
            className="hide-phone"
          >
            Go to…
          </Button>
          <Preferences help={help.open} />
        </div>
      </AppShell.Header>
      <AppShell.Navbar p="xs" style={{ overflowY: 'auto' }} aria-label="Pages">
        <Nav close={close} />
      </AppShell.Navbar>
      <AppShell.Main id="content" tabIndex={-1}>
        <Freezes />
        <Outlet />
      </AppShell.Main>
      <Spotlight
        actions={PLACES.filter((place) => may(place.needs)).map((place) => ({
          id: place.to,
          label: place.name,
          description: place.key ? `g ${place.key}` : place.group,
          onClick: () => void navigate({ to: place.to }),
        }))}
        shortcut={['mod + K']}
        highlightQuery
        searchProps={{ placeholder: 'Where to?', 'aria-label': 'Where to?' }}
        nothingFound="No page of that name"
        scrollAreaProps={{ viewportProps: { tabIndex: 0 } }}
      />
      <Help opened={helps} close={help.close} />
    </AppShell>
  );
}

function Preferences({ help }: { help: () => void }) {
  const { setColorScheme } = useMantineColorScheme();
  const utc = useUtc();
  const me = useMe().data;
  const dark = useComputedColorScheme() === 'dark';
  const client = useQueryClient();
  return (
    <Menu position="bottom-end">
      <Menu.Target>
        <Button
          variant="default"
          size="compact-sm"
          leftSection={<IconUser size={14} />}
          aria-label="Account and preferences"
        >
          {me?.name.slice(0, 16) ?? '…'}
        </Button>
      </Menu.Target>
      <Menu.Dropdown>
        <Menu.Label>{me?.bindings.map((one) => one.role).join(', ') || 'no role'}</Menu.Label>
        <Menu.Item
          leftSection={dark ? <IconSun size={16} /> : <IconMoon size={16} />}
          onClick={() => setColorScheme(dark ? 'light' : 'dark')}
        >
          {dark ? 'Light' : 'Dark'} colours
        </Menu.Item>
        <Menu.Item onClick={() => setColorScheme('auto')}>Colours of the system</Menu.Item>
        <Menu.Item onClick={() => setUtc(!utc)}>{utc ? 'Times as here' : 'Times in UTC'}</Menu.Item>
        <Menu.Item leftSection={<IconKeyboard size={16} />} onClick={help}>
          Keyboard
        </Menu.Item>
        <Menu.Item leftSection={<IconLogout size={16} />} onClick={() => void signOut(client)}>
          Sign out
        </Menu.Item>
      </Menu.Dropdown>
    </Menu>
  );
}
