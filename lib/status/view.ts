/** The picture that --status draws. Pure: facts and judgement in, lines out. */
import { showAddress } from "../fleet/hello.ts";
import type { Facts, FailoverFacts, ServerFacts } from "./facts.ts";
import type { Group, Judgement } from "./judge.ts";

/** A part in two halves: what changes seldom, and figures that move all the time. `--watch` reports changes of the first. */
export interface Line {
  kind: string;
  where: string;
  state: string;
  figures: string;
}

const count = (n: number, word: string): string => `${n.toLocaleString("en-US")} ${word}${n === 1 ? "" : "s"}`;

function keys(s: ServerFacts): number {
  let n = 0;
  for (const [name, value] of s.fields) if (/^db\d+$/.test(name)) n += Number(/keys=(\d+)/.exec(value)?.[1] ?? 0);
  return n;
}

function uptime(seconds: number): string {
  if (seconds < 120) return `${seconds} s`;
  if (seconds < 7200) return `${Math.floor(seconds / 60)} min`;
  return seconds < 172_800 ? `${Math.floor(seconds / 3600)} h` : `${Math.floor(seconds / 86_400)} d`;
}

function program(s: ServerFacts): string {
  const own = s.fields.get("redisha_version");
  return own !== undefined ? `redisha ${own}` : `${s.info!.serverName === "valkey" ? "valkey" : "redis"} ${s.info!.version}`;
}

function serverLine(group: Group, s: ServerFacts): Line {
  const info = s.info!;
  const isMaster = info.role === "master";
  const { fields } = s;
  let state: string;
  if (info.loading) state = "loads its data";
  else if (isMaster) state = s === group.master ? `master, ${count(info.connectedReplicas, "replica")}` : "says that it is a master too";
  else if (info.syncInProgress) state = `replica of ${info.masterHost}:${info.masterPort}, syncing`;
  else if (info.masterLinkUp) state = `replica of ${info.masterHost}:${info.masterPort}, in sync`;
  else state = `replica of ${info.masterHost}:${info.masterPort}, no link to it`;
  const figures = [`offset ${info.offset}`];
  if (info.loading) figures.push(`${Math.floor(Number(fields.get("loading_loaded_perc") ?? 0))} %`);
  if (!isMaster && group.master !== null && info.masterLinkUp)
    figures.push(`${Math.max(0, group.master.info!.offset - info.offset).toLocaleString("en-US")} bytes behind`);
  if (!isMaster && !info.masterLinkUp && !info.syncInProgress) figures.push(`for ${info.masterLinkDownSeconds} s`);
  figures.push(count(keys(s), "key"), fields.get("used_memory_human") ?? "");
  figures.push(`${fields.get("instantaneous_ops_per_sec") ?? "?"} ops/s`, count(Number(fields.get("connected_clients") ?? 0), "client"));
  figures.push(`up ${uptime(Number(fields.get("uptime_in_seconds") ?? 0))}`, program(s));
  return {
    kind: isMaster ? "master" : "replica",
    where: showAddress(s.address),
    state,
    figures: figures.filter((f) => f !== "").join(", "),
  };
}

function sentinelLines(facts: Facts, group: Group): Line[] {
  const votes = new Map<string, string>();
  for (const { view } of group.sentinels)
    for (const peer of view.peers)
      if (Number(peer["voted-leader-epoch"] ?? 0) > 0 && (peer["voted-leader"] ?? "?") !== "?")
        votes.set(peer["runid"] ?? "", `voted for ${name(facts, peer["voted-leader"]!)} in epoch ${peer["voted-leader-epoch"]}`);
  return group.sentinels.map(({ sentinel, view }) => {
    const down = view.flags.includes("o_down") ? ", down for the quorum" : view.flags.includes("s_down") ? ", down for it" : "";
    const busy = view.flags.includes("failover_in_progress") ? ", leads a failover" : "";
    const figures = [`knows ${count(view.replicas.length, "replica")} and ${count(view.otherSentinels, "other Sentinel")}`];
    const vote = votes.get(sentinel.id);
    if (vote !== undefined) figures.push(vote);
    return {
      kind: "sentinel",
      where: showAddress(sentinel.address),
      state: `names ${showAddress(view.address)}${down}${busy}, epoch ${view.epoch}, quorum ${view.quorum}${sentinel.tilt ? ", TILT" : ""}`,
      figures: figures.join(", "),
    };
  });
}

/** A Sentinel's address by its id, or the beginning of the id. */
function name(facts: Facts, id: string): string {
  const found = facts.sentinels.find((s) => s.id === id);
  return found === undefined ? id.slice(0, 8) : showAddress(found.address);
}

/** Every part of the set, in the order in which it is drawn, with a head per group. */
export function partLines(facts: Facts, judgement: Judgement): { head: string; lines: Line[]; group: Group | null }[] {
  const blocks: { head: string; lines: Line[]; group: Group | null }[] = judgement.groups.map((group) => {
    const servers = [...(group.master === null ? [] : [group.master]), ...group.replicas];
    return { head: headOf(group), lines: [...servers.map((s) => serverLine(group, s)), ...sentinelLines(facts, group)], group };
  });
  const rest: Line[] = [];
  for (const p of facts.proxies) {
    const led = facts.servers.find((s) => s.info!.runId === p.runId);
    rest.push({
      kind: "proxy",
      where: showAddress(p.address),
      state: `leads to ${led === undefined ? `port ${p.serverPort}` : showAddress(led.address)}`,
      figures: "",
    });
  }
  for (const s of facts.stats) for (const line of statLines(s.path, s.rows)) rest.push(line);
  for (const u of facts.unknown) rest.push({ kind: "?", where: showAddress(u.address), state: `no answer: ${u.error}`, figures: "" });
  if (rest.length > 0) blocks.push({ head: "", lines: rest, group: null });
  return blocks;
}

function statLines(path: string, rows: readonly Record<string, string>[]): Line[] {
  return rows
    .filter((r) => (r["svname"] ?? "") !== "")
    .map((r) => ({
      kind: "proxy",
      where: `${r["pxname"]}/${r["svname"]}`,
      state: r["status"] ?? "",
      figures: `${count(Number(r["scur"] ?? 0), "session")} now, ${r["stot"] ?? 0} in all${r["last_chk"] ? `, ${r["last_chk"]}` : ""} (${path})`,
    }));
}

function headOf(group: Group): string {
  const what = group.name === "" ? "servers without a Sentinel" : group.name;
  const bad = group.findings.filter((f) => f.level === "bad").length;
  return `${what}: ${bad === 0 ? "healthy" : count(bad, "problem")}`;
}

/** `2026-11-29 02:41:03  127.0.0.1:6379 -> 127.0.0.1:6380  done in 1090 ms: +odown 3, +vote-for-leader 5, ...` */
export function failoverLine(f: FailoverFacts): string {
  const total = f.steps.at(-1)?.ms ?? 0;
  const steps = f.steps.map((s) => `${s.event} ${s.ms}`).join(", ");
  const when = f.startIso.replace("T", " ").replace(/\.\d+Z$/, "Z");
  return `${when}  ${f.from} -> ${f.to === "" ? "nobody" : f.to}  ${f.reason}, ${f.result} in ${total} ms${steps === "" ? "" : `: ${steps}`}`;
}

/** Of all Sentinels' memories of one failover, the leader's: it has the steps. */
export function failoversOf(group: Group): FailoverFacts[] {
  const best = new Map<string, FailoverFacts>();
  for (const { sentinel, view } of group.sentinels)
    for (const f of view.failovers) {
      const key = String(f.epoch);
      const had = best.get(key);
      if (had === undefined || (f.leader === sentinel.id && had.leader !== sentinel.id) || (had.leader === "" && f.leader !== ""))
        best.set(key, f);
    }
  return [...best.values()].sort((a, b) => b.epoch - a.epoch);
}

const SHOWN_FAILOVERS = 3;

/** The whole picture. `columns` cuts lines; 0 does not. */
export function draw(facts: Facts, judgement: Judgement, columns = 0): string[] {
  const lines: string[] = [];
  const blocks = partLines(facts, judgement);
  const width = Math.max(8, ...blocks.flatMap((b) => b.lines.map((l) => l.where.length)));
  for (const block of blocks) {
    if (block.head !== "") lines.push(block.head);
    for (const l of block.lines)
      lines.push(`  ${l.kind.padEnd(9)} ${l.where.padEnd(width)}  ${l.state}${l.figures === "" ? "" : `; ${l.figures}`}`);
    if (block.group !== null)
      for (const f of failoversOf(block.group).slice(0, SHOWN_FAILOVERS)) lines.push(`  ${"failover".padEnd(9)} ${failoverLine(f)}`);
  }
  const findings = [...judgement.groups.flatMap((g) => g.findings), ...judgement.findings];
  for (const level of ["bad", "advice"] as const) {
    const some = findings.filter((f) => f.level === level);
    if (some.length === 0) continue;
    lines.push("", level === "bad" ? "What is wrong" : "Advice");
    for (const f of some) lines.push(`  ${f.text}`);
  }
  lines.push("", judgement.healthy ? "healthy" : "NOT healthy");
  return columns > 0 ? lines.map((l) => l.slice(0, columns - 1)) : lines;
}

/** The same for programs. */
export function toJson(facts: Facts, judgement: Judgement): object {
  const server = (s: ServerFacts): object => ({
    address: showAddress(s.address),
    role: s.info!.role,
    version: program(s),
    run_id: s.info!.runId,
    offset: s.info!.offset,
    link: s.info!.role === "replica" ? (s.info!.masterLinkUp ? "up" : s.info!.syncInProgress ? "sync" : "down") : null,
    master: s.info!.role === "replica" ? `${s.info!.masterHost}:${s.info!.masterPort}` : null,
    keys: keys(s),
    used_memory_bytes: Number(s.fields.get("used_memory") ?? 0),
    clients: Number(s.fields.get("connected_clients") ?? 0),
    ops_per_second: Number(s.fields.get("instantaneous_ops_per_sec") ?? 0),
  });
  return {
    healthy: judgement.healthy,
    sets: judgement.groups.map((g) => ({
      name: g.name,
      epoch: g.epoch,
      master: g.master === null ? null : server(g.master),
      replicas: g.replicas.map(server),
      sentinels: g.sentinels.map(({ sentinel, view }) => ({
        address: showAddress(sentinel.address),
        id: sentinel.id,
        names: showAddress(view.address),
        epoch: view.epoch,
        quorum: view.quorum,
        flags: view.flags,
        other_sentinels: view.otherSentinels,
        tilt: sentinel.tilt,
      })),
      failovers: failoversOf(g),
      findings: g.findings,
    })),
    proxies: facts.proxies.map((p) => ({ address: showAddress(p.address), leads_to_port: p.serverPort, run_id: p.runId })),
    statistics: facts.stats.map((s) => ({ socket: s.path, error: s.error, rows: s.rows })),
    traffic: facts.stats.flatMap((s) => s.traffic),
    unanswered: facts.unknown.map((u) => ({ address: showAddress(u.address), error: u.error })),
    findings: judgement.findings,
  };
}
