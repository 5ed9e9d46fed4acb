/**
 * What is wrong with a set, in words, with what to do about it. Pure: facts in, findings out.
 * "bad" means that the set is broken or would not survive its next failure: the exit code says so. "advice" is worth reading once.
 */
import { isLoopback, sameAddress, showAddress, type Address } from "../fleet/hello.ts";
import { majorityOf } from "../fleet/majority.ts";
import type { Facts, MasterView, SentinelFacts, ServerFacts } from "./facts.ts";

export interface Finding {
  level: "bad" | "advice";
  text: string;
}

/** One data set: a master's name (or none, without Sentinels), its servers and who watches them. */
export interface Group {
  /** "" when no Sentinel watches it. */
  name: string;
  master: ServerFacts | null;
  replicas: ServerFacts[];
  /** With their view of this master. */
  sentinels: { sentinel: SentinelFacts; view: MasterView }[];
  /** Of the view with the highest epoch that most Sentinels share; 0 without Sentinels. */
  epoch: number;
  findings: Finding[];
}

export interface Judgement {
  groups: Group[];
  /** What belongs to no group. */
  findings: Finding[];
  healthy: boolean;
}

/** A replica further behind than this is worth a word. */
const BEHIND_BYTES = 10 * 1024 * 1024;
const LAG_SECONDS = 10;

export function serverAt(facts: Facts, address: Address): ServerFacts | null {
  const found = facts.servers.find((s) => s.names.some((n) => sameAddress(n, address)));
  // What a Sentinel on another machine calls 127.0.0.1 was asked under that machine's name.
  return found ?? (isLoopback(address.host) ? (facts.servers.find((s) => s.names.some((n) => n.port === address.port)) ?? null) : null);
}

export function judge(facts: Facts): Judgement {
  const groups = groupsOf(facts);
  const findings: Finding[] = [];
  const bad = (text: string): void => void findings.push({ level: "bad", text });
  for (const part of facts.unknown) bad(`${showAddress(part.address)} does not answer: ${part.error}.`);
  for (const s of facts.stats) if (s.error !== null) bad(`The statistics socket ${s.path} does not answer: ${s.error}.`);
  for (const s of facts.sentinels)
    if (s.tilt)
      bad(`Sentinel ${showAddress(s.address)} is in TILT: its clock jumped or it stood still, and it acts again after 30 quiet seconds.`);
  if (facts.sentinels.length === 0 && facts.servers.length > 0)
    findings.push({ level: "advice", text: "No Sentinel watches this set: when the master dies, nobody takes its place." });
  for (const group of groups) judgeGroup(facts, group);
  for (const proxy of facts.proxies) {
    const led = facts.servers.find((s) => s.info!.runId === proxy.runId);
    const masters = groups.flatMap((g) => (g.master === null ? [] : [g.master]));
    if (led !== undefined && !masters.includes(led))
      bad(`The proxy at ${showAddress(proxy.address)} leads to ${showAddress(led.address)}, which is no master.`);
  }
  if (facts.servers.length === 0) bad("No server answers.");
  const healthy = ![...findings, ...groups.flatMap((g) => g.findings)].some((f) => f.level === "bad");
  return { groups, findings, healthy };
}

/** Groups by what Sentinels watch; servers that none watches by who follows whom. */
function groupsOf(facts: Facts): Group[] {
  const groups: Group[] = [];
  const taken = new Set<ServerFacts>();
  for (const name of new Set(facts.sentinels.flatMap((s) => s.masters.map((m) => m.name)))) {
    const sentinels = facts.sentinels.flatMap((sentinel) =>
      sentinel.masters.filter((m) => m.name === name).map((view) => ({ sentinel, view })),
    );
    const view = commonView(sentinels.map((s) => s.view));
    const master = serverAt(facts, view.address);
    const named = sentinels.flatMap((s) => s.view.replicas.map((r) => ({ host: r["ip"] ?? "", port: Number(r["port"]) })));
    const replicas = facts.servers.filter(
      (s) => s !== master && (named.some((a) => serverAt(facts, a) === s) || (master !== null && follows(facts, s) === master)),
    );
    for (const s of [...(master === null ? [] : [master]), ...replicas]) taken.add(s);
    groups.push({ name, master, replicas, sentinels, epoch: view.epoch, findings: [] });
  }
  for (const master of facts.servers.filter((s) => s.info!.role === "master" && !taken.has(s))) {
    const replicas = facts.servers.filter((s) => !taken.has(s) && s !== master && follows(facts, s) === master);
    taken.add(master);
    for (const s of replicas) taken.add(s);
    groups.push({ name: "", master, replicas, sentinels: [], epoch: 0, findings: [] });
  }
  const orphans = facts.servers.filter((s) => !taken.has(s));
  if (orphans.length > 0) groups.push({ name: "", master: null, replicas: orphans, sentinels: [], epoch: 0, findings: [] });
  return groups;
}

/** The server that this one replicates from, or null; through chains to the top. */
function follows(facts: Facts, server: ServerFacts): ServerFacts | null {
  let at: ServerFacts | null = server;
  for (let depth = 0; at !== null && at.info!.role === "replica" && depth < 16; depth++)
    at = serverAt(facts, { host: at.info!.masterHost, port: at.info!.masterPort });
  return at === server ? null : at;
}

/** The view that most Sentinels share, the highest epoch where they are as many. */
function commonView(views: readonly MasterView[]): MasterView {
  const votes = new Map<string, MasterView[]>();
  for (const v of views) {
    const key = `${showAddress(v.address)} ${v.epoch}`;
    votes.set(key, [...(votes.get(key) ?? []), v]);
  }
  return [...votes.values()].sort((a, b) => b.length - a.length || b[0].epoch - a[0].epoch)[0][0];
}

function judgeGroup(facts: Facts, group: Group): void {
  const bad = (text: string): void => void group.findings.push({ level: "bad", text });
  const advice = (text: string): void => void group.findings.push({ level: "advice", text });
  judgeMaster(group, bad, advice);
  for (const r of group.replicas) judgeReplica(facts, group, r, bad, advice);
  if (group.sentinels.length > 0) judgeSentinels(facts, group, bad, advice);
}

type Say = (text: string) => void;

function judgeMaster(group: Group, bad: Say, advice: Say): void {
  const { master, replicas } = group;
  const alsoMasters = replicas.filter((s) => s.info!.role === "master");
  if (master === null) {
    const view = group.sentinels[0]?.view;
    const named = view === undefined ? "" : ` The Sentinels name ${showAddress(view.address)}, which does not answer.`;
    bad(`There is no master: writes are impossible.${named}`);
    return;
  }
  const name = showAddress(master.address);
  if (master.info!.role !== "master") bad(`${name} should be the master and says that it is a replica of ${masterName(master)}.`);
  for (const other of alsoMasters)
    bad(
      `${showAddress(other.address)} says that it is a master too: what is written there will be lost when it is made a replica of ${name}. ` +
        "Keep clients away from it (our proxy does).",
    );
  const f = master.fields;
  if (f.get("loading") === "1") bad(`${name} is loading its data: ${Math.floor(Number(f.get("loading_loaded_perc") ?? 0))} % so far.`);
  judgeDisk(master, bad);
  const inSync = replicas.filter((r) => r.info!.role === "replica" && r.info!.masterLinkUp).length;
  if (replicas.length === 0) (group.name === "" ? advice : bad)(`${name} has no replica: nothing can take its place.`);
  else if (inSync === 0) bad(`No replica of ${name} is in sync: nothing can take its place.`);
  if (f.get("min_slaves_good_slaves") !== undefined && Number(f.get("min_slaves_good_slaves")) === 0)
    bad(`${name} refuses writes: fewer replicas are in reach than min-replicas-to-write asks for.`);
  const used = Number(f.get("used_memory") ?? 0);
  const limit = Number(f.get("maxmemory") ?? 0);
  if (limit > 0 && used > limit * 0.95 && f.get("maxmemory_policy") === "noeviction")
    bad(`${name} uses ${Math.round((used / limit) * 100)} % of maxmemory and evicts nothing: writes will be refused.`);
}

function judgeDisk(server: ServerFacts, bad: Say): void {
  const name = showAddress(server.address);
  const f = server.fields;
  if (f.get("rdb_last_bgsave_status") === "err")
    bad(`${name} could not save its snapshot (rdb_last_bgsave_status:err): see its log, disk space first.`);
  if (f.get("aof_last_write_status") === "err")
    bad(`${name} cannot write its append only file (aof_last_write_status:err): see its log, disk space first.`);
  if (f.get("aof_last_bgrewrite_status") === "err") bad(`${name} could not rewrite its append only file: see its log, disk space first.`);
}

const masterName = (s: ServerFacts): string => showAddress({ host: s.info!.masterHost, port: s.info!.masterPort });

function judgeReplica(facts: Facts, group: Group, r: ServerFacts, bad: Say, advice: Say): void {
  const info = r.info!;
  const name = showAddress(r.address);
  if (info.role !== "replica") return;
  if (info.syncInProgress) bad(`Replica ${name} is being synchronised: until that is done it cannot take over.`);
  else if (!info.masterLinkUp)
    bad(
      `Replica ${name} has had no link to its master ${masterName(r)} for ${info.masterLinkDownSeconds} s: see its log (masterauth, network).`,
    );
  else if (group.master !== null && follows(facts, r) !== group.master)
    bad(`Replica ${name} follows ${masterName(r)} and not the master ${showAddress(group.master.address)}.`);
  judgeDisk(r, bad);
  const line = group.master?.info?.replicas.find((l) => serverAt(facts, l) === r);
  if (line !== undefined && line.lagSeconds > LAG_SECONDS) bad(`Replica ${name} has not acknowledged anything for ${line.lagSeconds} s.`);
  const behind = (group.master?.info?.offset ?? 0) - info.offset;
  if (line !== undefined && info.masterLinkUp && behind > BEHIND_BYTES)
    advice(`Replica ${name} is ${Math.round(behind / 1024 / 1024)} MB behind: it cannot keep up.`);
  if (info.priority === 0) advice(`Replica ${name} has replica-priority 0: it will never be promoted.`);
}

function judgeSentinels(facts: Facts, group: Group, bad: Say, advice: Say): void {
  const { sentinels } = group;
  const first = sentinels[0].view;
  const known = Math.max(...sentinels.map((s) => s.view.otherSentinels + 1));
  const needed = majorityOf(known);
  const quorum = Math.max(...sentinels.map((s) => s.view.quorum));
  const quorums = new Set(sentinels.map((s) => s.view.quorum));
  if (quorums.size > 1) advice(`The Sentinels have different quorums for ${group.name}: ${[...quorums].join(", ")}.`);
  if (sentinels.length < needed)
    bad(`${sentinels.length} of ${known} Sentinels answer, ${needed} are needed for a failover: there will be none.`);
  if (quorum > known)
    bad(`The quorum of ${group.name} is ${quorum}, but there are ${known} Sentinels: nobody can ever call the master down.`);
  else if (quorum > sentinels.length && sentinels.length >= needed)
    bad(`The quorum of ${group.name} is ${quorum}, and ${sentinels.length} Sentinels answer: a dead master would not be noticed.`);
  if (known < 3)
    advice(
      `${known === 1 ? "One Sentinel alone" : "Two Sentinels"} cannot tell a dead master from a cut network and survive no failure: have three, on three machines.`,
    );
  const names = new Map<string, string[]>();
  for (const { sentinel, view } of sentinels) {
    const key = showAddress(view.address);
    names.set(key, [...(names.get(key) ?? []), showAddress(sentinel.address)]);
  }
  if (names.size > 1)
    bad(`The Sentinels do not agree: ${[...names].map(([address, who]) => `${who.join(", ")} say ${address}`).join("; ")}.`);
  const odown = sentinels.some((s) => s.view.flags.includes("o_down"));
  const sdown = sentinels.filter((s) => s.view.flags.includes("s_down"));
  if (odown) bad(`The master ${showAddress(first.address)} is down for the quorum.`);
  else if (sdown.length > 0) bad(`${sdown.length} of ${sentinels.length} Sentinels see the master ${showAddress(first.address)} down.`);
  if (sentinels.some((s) => s.view.flags.includes("failover_in_progress"))) bad("A failover is under way.");
  judgeKnowledge(facts, group, advice);
}

/** What Sentinels know and what there is. */
function judgeKnowledge(facts: Facts, group: Group, advice: Say): void {
  for (const { sentinel, view } of group.sentinels) {
    const who = showAddress(sentinel.address);
    const named = view.replicas.map((r) => serverAt(facts, { host: r["ip"] ?? "", port: Number(r["port"]) }));
    const missing = group.replicas.filter((r) => r.info!.role === "replica" && !named.includes(r));
    if (missing.length > 0) advice(`Sentinel ${who} does not know ${missing.map((r) => showAddress(r.address)).join(", ")} yet.`);
    const loose = view.replicas.filter((r) => (r["flags"] ?? "").includes("s_down"));
    for (const r of loose)
      advice(
        `Sentinel ${who} still lists ${showAddress({ host: r["ip"] ?? "", port: Number(r["port"]) })}, which is down; if it is gone for good, SENTINEL RESET ${group.name} forgets it.`,
      );
  }
}
