import { createTheme, type CSSVariablesResolver, type MantineColorsTuple } from '@mantine/core';

const signal: MantineColorsTuple = [
  '#eef0fb', '#d9def5', '#b4bdea', '#8e9be0', '#7383d8', '#5a6ccd', '#4c5dc2', '#3f4fab', '#344291', '#283375',
]; // prettier-ignore

/** The greys of dark colours, of one family with those of app.css. */
const dark: MantineColorsTuple = [
  '#e6e8ec', '#c3c8d1', '#a6adba', '#7d8594', '#434956', '#343942', '#262a32', '#1c1f25', '#16181d', '#111317',
]; // prettier-ignore

export const theme = createTheme({
  primaryColor: 'signal',
  primaryShade: { light: 7, dark: 6 },
  colors: { signal, dark },
  fontFamily: 'Inter, "Segoe UI", system-ui, -apple-system, sans-serif',
  fontFamilyMonospace: 'ui-monospace, "JetBrains Mono", "DejaVu Sans Mono", Menlo, monospace',
  defaultRadius: 'sm',
  headings: { fontWeight: '650' },
  respectReducedMotion: true,
  components: {
    CloseButton: { defaultProps: { 'aria-label': 'Close this' } },
    Menu: { defaultProps: { withInitialFocusPlaceholder: false } }, // a menu holds items only
  },
});

/** Text that is dimmed still reads at 4.5:1 in both schemes. */
export const variables: CSSVariablesResolver = () => ({
  variables: {},
  light: {
    '--mantine-color-dimmed': '#545b66',
    '--mantine-color-placeholder': '#69707b',
    '--mantine-color-error': '#b4232c',
  },
  dark: {
    '--mantine-color-dimmed': '#a6adba',
    '--mantine-color-placeholder': '#949cab',
    '--mantine-color-error': '#ff8f8f',
  },
});
