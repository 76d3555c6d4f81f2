export function ReprocessingPage() {
  return null;
}
