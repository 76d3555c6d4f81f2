/** JSON as it is: never as markup, never longer than a screen unless scrolled. */
export function Json({ value, label = 'JSON' }: { value: unknown; label?: string }) {
  const text = typeof value === 'string' ? value : JSON.stringify(value, null, 2);
  return (
    // eslint-disable-next-line jsx-a11y/no-noninteractive-tabindex -- a part that scrolls has to be reached
    <pre className="json" tabIndex={0} role="region" aria-label={label}>
      {(text ?? 'null').slice(0, 200_000)}
    </pre>
  );
}

export function Facts({ rows }: { rows: [string, React.ReactNode][] }) {
  return (
    <dl className="facts">
      {rows.map(([name, value]) => (
        <div key={name}>
          <dt>{name}</dt>
          <dd dir="auto">{value ?? <span className="dim">–</span>}</dd>
        </div>
      ))}
    </dl>
  );
}
