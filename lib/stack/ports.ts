/** Before `--stack` starts anything: are its ports free, and if not, whose are they and what is to be done. Cold. */
import { listen } from "../net/listen.ts";
import { portHolders, type PortHolder } from "../os/ports.ts";
import type { Part } from "./plan.ts";

const nothing = (): void => {};

function isFree(port: number): boolean {
  try {
    const handler = { open: nothing, data: nothing, drained: nothing, end: nothing, close: nothing };
    listen({ hostname: "127.0.0.1", port, accept: () => undefined, handler }).close();
    return true;
  } catch {
    return false;
  }
}

/** What is wrong with the ports of `parts`, as lines for the user; none when all are free. `moved` gives the ports for another base. */
export function portProblems(parts: readonly Part[], dir: string, basePort: number, moved: (basePort: number) => number[]): string[] {
  const taken = parts.filter((p) => !isFree(p.port));
  if (taken.length === 0) return [];
  const holders = portHolders(taken.map((p) => p.port));
  const own = (h: PortHolder | undefined): boolean => h !== undefined && `${h.directory}/`.startsWith(`${dir}/`);
  const lines: string[] = [];
  const left: number[] = [];
  const others: number[] = [];
  for (const p of taken) {
    const h = holders.get(p.port);
    if (h !== undefined) (own(h) ? left : others).push(h.pid);
    const who =
      h === undefined
        ? "another process, of another user perhaps, or by an outgoing connection for the moment"
        : `pid ${h.pid}: ${h.command}`;
    lines.push(`port ${p.port}, for ${p.name}, is taken by ${who}`);
  }
  if (left.length > 0)
    lines.push(`These are parts of a set in ${dir}: stop the --stack that runs them, or if it is gone: kill ${left.join(" ")}`);
  if (others.length > 0) lines.push(`Either stop what is in the way: kill ${[...new Set(others)].join(" ")}`);
  let base = basePort;
  for (let step = 1; step <= 20 && base === basePort; step++) {
    const next = basePort + step * 1000;
    if (next <= 45000 && moved(next).every(isFree)) base = next;
  }
  const other = `start the set on other ports: redisha --stack --base-port ${base === basePort ? "N" : base}`;
  lines.push(lines.length > taken.length ? `Or ${other}` : `Stop what is in the way, or ${other}`);
  return lines;
}
