export function Reprocessing() {
  return null;
}
