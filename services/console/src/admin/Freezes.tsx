export function FreezesPage() {
  return null;
}
