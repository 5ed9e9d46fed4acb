/** The picture that `--stack` draws of its set. Pure: states in, lines out. */
import { MASTER_NAME, type Part } from "./plan.ts";

/** What is known of one part at the moment. */
export interface PartState {
  part: Part;
  pid: number;
  /** running, starting, or why it ended: `ended with 1`, `killed by SIGKILL`. */
  life: string;
  /** Answers of the last look; empty when it did not answer. */
  facts: Record<string, string>;
}

const pad = (s: string, n: number): string => s.padEnd(n);

function serverLine(s: PartState): string {
  const f = s.facts;
  if (f["role"] === undefined) return s.life === "running" ? "does not answer" : s.life;
  if (f["role"] === "master") return `master    ${f["connected_slaves"]} replicas, offset ${f["master_repl_offset"]}`;
  const link = f["master_link_status"] === "up" ? "in sync" : f["master_sync_in_progress"] === "1" ? "syncing" : "link down";
  return `replica   of ${f["master_port"]}, ${link}, offset ${f["slave_repl_offset"]}`;
}

/** One line a part, and what they say together. */
export function drawStack(states: readonly PartState[]): string[] {
  const lines: string[] = [];
  for (const s of states) {
    const head = `  ${pad(s.part.kind, 9)} 127.0.0.1:${pad(String(s.part.port), 6)} ${pad(s.life === "running" ? `pid ${s.pid}` : "-", 12)}`;
    let text = s.life;
    if (s.part.kind === "server") text = serverLine(s);
    else if (s.facts["master"] !== undefined)
      text = s.part.kind === "sentinel" ? `${MASTER_NAME} is ${s.facts["master"]}` : `leads to ${s.facts["master"]}`;
    else if (s.life === "running") text = s.part.kind === "proxy" ? "holds: no master is known" : "does not answer";
    lines.push(`${head} ${text}`);
  }
  return lines;
}
