/**
 * Event logs made comparable: real Sentinels' log files and modelled ones become the same lines, without times, ports, run ids, and without
 * the order of what has no order (discovery, which instances of one tick come first).
 */
import { readFileSync } from "node:fs";

/** One event: `type` and its payload's words. */
export type Line = { type: string; payload: string };

/** The events in a real Sentinel's output, in order. */
export function eventsOf(output: string): Line[] {
  const lines: Line[] = [];
  for (const line of output.split("\n")) {
    const m = /^\d+:[A-Z] .{24,26} [.\-*#] ([+-][a-z-]+) ?(.*)$/.exec(line);
    if (m !== null) lines.push({ type: m[1]!, payload: m[2]! });
  }
  return lines;
}
export function eventsIn(file: string): Line[] {
  return eventsOf(readFileSync(file, "latin1"));
}

/** Names for everything that differs between two runs: run ids and addresses become roles in the story. */
export type Names = { sentinels: Map<string, string>; servers: Map<string, string> };

/** Who is who after a failover: the leader, the new master, the old one, the other replicas. `logs` is one list of events a Sentinel, by its id. */
export function cast(logs: Map<string, Line[]>): Names | null {
  const names: Names = { sentinels: new Map(), servers: new Map() };
  let leader = "";
  for (const [id, log] of logs) if (log.some((l) => l.type === "+elected-leader")) leader = id;
  const moved = logs.get(leader)?.find((l) => l.type === "+switch-master");
  if (moved === undefined) return null;
  const w = moved.payload.split(" ");
  names.servers.set(`${w[1]} ${w[2]}`, "OLD");
  names.servers.set(`${w[3]} ${w[4]}`, "NEW");
  for (const id of logs.keys()) names.sentinels.set(id, id === leader ? "LEADER" : "VOTER");
  return names;
}

function rename(payload: string, names: Names): string {
  let text = payload;
  for (const [id, name] of names.sentinels) text = text.replaceAll(id, name);
  // A sentinel's address is its own; it tells nothing that its id does not.
  text = text.replace(/(sentinel \w+) \S+ \d+/g, "$1");
  text = text.replace(/(\d+\.\d+\.\d+\.\d+)[ :](\d+)/g, (_, ip, port) => names.servers.get(`${ip} ${port}`) ?? "OTHER");
  return text;
}

/**
 * A Sentinel's log in canonical form. What is found and lost without any order between (peers, replicas, their states) is sorted within
 * stretches that no event of the master's own story interrupts.
 */
export function canonical(log: Line[], names: Names): string[] {
  const story: string[] = [];
  let loose: string[] = [];
  const flush = (): void => {
    story.push(...loose.sort());
    loose = [];
  };
  for (const l of log) {
    const text = `${l.type} ${rename(l.payload, names)}`.trim();
    const free =
      l.type === "+sentinel" ||
      l.type === "+slave" ||
      l.type.endsWith("role-change") ||
      ((l.type === "+sdown" || l.type === "-sdown") && !l.payload.startsWith("master "));
    if (free) loose.push(text);
    else {
      flush();
      story.push(text);
    }
  }
  flush();
  return story;
}
