/** `ring` sections: log lines kept in memory (HAProxy configuration 3.9). COLD. Lines are not sent on to a ring's servers, which is warned of. */
import type { Context } from "./haproxy_context.ts";
import type { RingConfig } from "./haproxy_model.ts";
import { isLogFormat } from "./haproxy_log.ts";
import { looseInt } from "./haproxy_units.ts";

/** What there is without any section. */
export const BUILT_IN_RING = "buf0";
const TAKEN = [BUILT_IN_RING, "stdout", "stderr"];
/** The original's buffer: the least that a ring has, and the longest line. */
const BUFFER_BYTES = 16_384;

export function newRing(name: string): RingConfig {
  return { name, sizeBytes: BUFFER_BYTES, description: name, format: "raw", lengthMax: BUFFER_BYTES };
}

/** `ring NAME`. After a name that cannot be, the section's lines belong to none. */
export function openRing(c: Context): void {
  const name = c.args[1]!;
  const bad = /[^A-Za-z0-9_.:-]/.exec(name);
  if (bad !== null) return c.alert(`invalid ring name '${name}' (character '${bad[0]}' is not permitted).`);
  if (TAKEN.includes(name) || c.config.rings.some((r) => r.name === name)) return c.alert(`sink named '${name}' already exists.`);
  c.ring = newRing(name);
  c.config.rings.push(c.ring);
}

/** A line of the latest ring section. */
export function parseRing(c: Context): void {
  const r = c.ring;
  const a = c.args;
  const number = (): number => {
    const n = looseInt(a[1] ?? "");
    if (n <= 0) c.alert(`invalid size '${a[1] ?? ""}' for new sink buffer.`);
    return Math.max(0, n);
  };
  switch (a[0]) {
    case "size": {
      const n = number();
      if (r === null || n === 0) return;
      if (n >= r.sizeBytes) r.sizeBytes = n;
      else {
        // Worded as a warning, and yet the file is refused.
        c.warn(`ignoring new size '${n}' that is smaller than current size '${r.sizeBytes}' for ring '${r.name}'.`);
        c.alerts++;
      }
      return;
    }
    case "maxlen": {
      const n = number();
      if (r !== null && n > 0) r.lengthMax = n;
      return;
    }
    case "format":
      if (!isLogFormat(a[1] ?? "")) return c.alert(`unknown format '${a[1] ?? ""}'.`);
      if (r !== null) r.format = a[1] as RingConfig["format"];
      return;
    case "description":
      if (a[1] === undefined) return c.alert("missing ring description text.");
      if (r !== null) r.description = a[1];
      return;
    case "server":
      return c.warn(`'server' of ring '${r?.name ?? ""}' is read but has no effect in redisha (lines stay in memory).`);
    case "timeout":
    case "backing-file":
      return;
    default:
      c.alert(`unknown statement '${a[0]}'.`);
  }
}

/** Its section is over: a line is never longer than the ring. */
export function closeRing(c: Context): void {
  const r = c.ring;
  c.ring = null;
  if (r === null || r.lengthMax <= r.sizeBytes) return;
  c.warnText(`ring '${r.name}' event max length '${r.lengthMax}' exceeds size, forced to size '${r.sizeBytes}'.`);
  r.lengthMax = r.sizeBytes;
}
