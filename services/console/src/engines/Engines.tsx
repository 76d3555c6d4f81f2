export function Engines() {
  return null;
}
