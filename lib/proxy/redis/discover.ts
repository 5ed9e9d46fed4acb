/**
 * `redisha --proxy` without any file: asks the Sentinel on this machine which masters there are and writes the configuration that serves each
 * of them, the first on 6378, further ones on the ports below it (6379 is a server's). COLD.
 */
import { Link } from "../../link/link.ts";
import { pairs } from "../../resp/reply.ts";

export const SENTINEL_PORT = 26379;
const FIRST_PORT = 6378;
const ASK_MS = 1000;

/** A set as the Sentinel tells of it. */
export interface KnownSet {
  name: string;
  sentinels: string[];
}

/** The sets that the Sentinel at this port watches, with every Sentinel it knows; empty when there is none. */
export function knownSets(port = SENTINEL_PORT, host = "127.0.0.1"): Promise<KnownSet[]> {
  return new Promise((resolve) => {
    const sets: KnownSet[] = [];
    const done = (): void => {
      clearTimeout(timer);
      link.close();
      resolve(sets);
    };
    const timer = setTimeout(done, ASK_MS);
    const link: Link = new Link({ hostname: host, port, timeoutMs: ASK_MS, closed: () => queueMicrotask(done) });
    link.send(["SENTINEL", "MASTERS"], (masters) => {
      if (!Array.isArray(masters) || masters.length === 0) return done();
      let open = masters.length;
      for (const m of masters) {
        const name = pairs(m)["name"] ?? "";
        const set: KnownSet = { name, sentinels: [`${host}:${port}`] };
        sets.push(set);
        link.send(["SENTINEL", "SENTINELS", name], (others) => {
          if (Array.isArray(others))
            for (const o of others) {
              const s = pairs(o);
              if (s["ip"] && s["port"]) set.sentinels.push(`${s["ip"]}:${s["port"]}`);
            }
          if (--open === 0) done();
        });
      }
    });
  });
}

/** The configuration that serves these sets, and the port of each. */
export function configOf(sets: readonly KnownSet[]): { text: string; ports: number[] } {
  const lines = ["defaults", "mode redis", "timeout connect 3s", "timeout client 1h", "timeout server 1h"];
  const ports: number[] = [];
  for (const [i, set] of [...sets].sort((a, b) => (a.name < b.name ? -1 : 1)).entries()) {
    const port = FIRST_PORT - i;
    ports.push(port);
    lines.push(`listen ${set.name}`, `bind *:${port}`, `sentinel ${set.name} ${set.sentinels.join(" ")}`);
  }
  return { text: `${lines.join("\n")}\n`, ports };
}
