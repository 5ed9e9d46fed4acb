/** Host names to addresses, for the whole Sentinel mode: IPv4 first, bounded in time, never an exception. COLD. */
import { lookup } from "node:dns/promises";

/** A lookup that takes longer counts as failed. */
const LOOKUP_MS = 3000;

/** The address behind a name; null when there is none, or none in time. */
export async function resolveName(name: string): Promise<string | null> {
  let timer: ReturnType<typeof setTimeout> | undefined;
  const late = new Promise<null>((done) => {
    timer = setTimeout(() => done(null), LOOKUP_MS);
  });
  const found = lookup(name, { all: true }).then(
    (all) => (all.find((a) => a.family === 4) ?? all[0])?.address ?? null,
    () => null,
  );
  const ip = await Promise.race([found, late]);
  clearTimeout(timer);
  return ip;
}

/** All of them side by side; those without an answer are left out. */
export async function resolveNames(names: readonly string[]): Promise<Record<string, string>> {
  const found: Record<string, string> = {};
  await Promise.all(
    names.map(async (name) => {
      const ip = await resolveName(name);
      if (ip !== null) found[name] = ip;
    }),
  );
  return found;
}
