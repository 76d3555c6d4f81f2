export function RerunBuilder() {
  return null;
}
