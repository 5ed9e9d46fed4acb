/** The picture that `--stack` draws of its set. Pure: states in, lines out. */
import type { Facts } from "./look.ts";
import { MASTER_NAME, type Part } from "./plan.ts";

/** What is known of one part at the moment. */
export interface PartState {
  part: Part;
  pid: number;
  /** `running`, `not started`, or why it ended: `ended with 1`, `killed by SIGKILL`. */
  life: string;
  /** Answers of the last look; empty when it did not answer. */
  facts: Facts;
  /** It has been asked since it was started. */
  looked: boolean;
}

const count = (n: number, word: string): string => `${n} ${word}${n === 1 ? "" : "s"}`;

/** What a part is and does, without what changes all the time. */
export function describe(s: PartState): string {
  const f = s.facts;
  if (s.life !== "running") return s.life;
  if (f["error"] !== undefined) return `says ${f["error"].slice(0, 60)}`;
  if (f["loading"] === "1") return `loads its data, ${Math.floor(Number(f["loading_loaded_perc"] ?? 0))} %`;
  if (s.part.kind === "server" && f["role"] === "master") return `master, ${count(Number(f["connected_slaves"]), "replica")}`;
  if (s.part.kind === "server" && f["role"] !== undefined) {
    const link = f["master_link_status"] === "up" ? "in sync" : f["master_sync_in_progress"] === "1" ? "syncing" : "no link to it";
    return `replica of ${f["master_port"]}, ${link}`;
  }
  if (s.part.kind === "sentinel" && f["port"] !== undefined) {
    const down = f["flags"]!.includes("o_down") ? ", down for the quorum" : f["flags"]!.includes("s_down") ? ", down for it" : "";
    return `${MASTER_NAME} is ${f["port"]}${down}; knows ${count(Number(f["num-slaves"]), "replica")}, ${count(Number(f["num-other-sentinels"]), "other Sentinel")}`;
  }
  if (s.part.kind === "proxy" && f["tcp_port"] !== undefined) return `leads to ${f["tcp_port"]}`;
  if (!s.looked) return "starts";
  return s.part.kind === "proxy" ? "holds its clients: no master is confirmed" : "does not answer";
}

function offset(s: PartState): string {
  const n = s.facts[s.facts["role"] === "master" ? "master_repl_offset" : "slave_repl_offset"];
  return s.part.kind === "server" && s.life === "running" && n !== undefined ? `, offset ${n}` : "";
}

/** The set in one line: who is master, how many follow, what Sentinels and proxy say. */
export function summary(states: readonly PartState[]): string {
  const answering = (kind: string): PartState[] => states.filter((s) => s.part.kind === kind && s.life === "running");
  const masters = answering("server").filter((s) => s.facts["role"] === "master");
  const synced = answering("server").filter((s) => s.facts["role"] === "slave" && s.facts["master_link_status"] === "up");
  const sentinels = states.filter((s) => s.part.kind === "sentinel").length;
  const votes = new Map<string, number>();
  for (const s of answering("sentinel")) {
    const port = s.facts["port"];
    if (port !== undefined) votes.set(port, (votes.get(port) ?? 0) + 1);
  }
  const [named, most] = [...votes].sort((a, b) => b[1] - a[1])[0] ?? ["nobody", 0];
  const words: string[] = [];
  if (masters.length === 0) words.push("no master");
  else words.push(`master ${masters.map((s) => s.part.port).join(" and ")}`);
  words.push(`${count(synced.length, "replica")} in sync`);
  words.push(`${most} of ${count(sentinels, "Sentinel")} name${most === 1 ? "s" : ""} ${named}`);
  const proxy = answering("proxy")[0];
  const leads = proxy?.facts["tcp_port"];
  words.push(proxy === undefined ? "no proxy" : leads === undefined ? "the proxy holds" : `the proxy leads to ${leads}`);
  return words.join(", ");
}

/** The whole picture: the summary, and one line a part. `columns` cuts lines; 0 does not. */
export function drawStack(states: readonly PartState[], columns = 0): string[] {
  const lines = [summary(states)];
  for (const s of states) {
    const pid = s.life === "running" ? `pid ${s.pid}` : "-";
    lines.push(`  ${s.part.kind.padEnd(9)} 127.0.0.1:${String(s.part.port).padEnd(6)} ${pid.padEnd(12)} ${describe(s)}${offset(s)}`);
  }
  return columns > 0 ? lines.map((l) => l.slice(0, columns - 1)) : lines;
}

/** What was different the last time: one line a change, parts first, then the set. */
export class Changes {
  private readonly parts: Map<PartState, string>;
  private set: string;

  constructor(states: readonly PartState[]) {
    this.parts = new Map(states.map((s) => [s, describe(s)]));
    this.set = summary(states);
  }

  /** Lines without the time of day; none when all is as before. */
  since(states: readonly PartState[]): string[] {
    const lines: string[] = [];
    for (const s of states) {
      const now = describe(s);
      if (this.parts.get(s) === now) continue;
      this.parts.set(s, now);
      lines.push(`${s.part.name}: ${now}`);
    }
    const now = summary(states);
    if (now !== this.set) lines.push((this.set = now));
    return lines;
  }
}
